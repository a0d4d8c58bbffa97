/** The .cu files and what TypeScript has to know of them: every kernel's parameters, and the op codes of the element-wise ones. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../kernels/', import.meta.url);

export interface KernelSources {
  /** common.cuh */
  readonly common: string;
  /** by file name without .cu */
  readonly files: Readonly<Record<string, string>>;
  /** kernel → [file, a letter a parameter: p pointer, i int, f float, d double, L layout] */
  readonly kernels: Readonly<Record<string, readonly [string, string]>>;
  /** op names in the order of their codes, by list */
  readonly ops: Readonly<Record<string, readonly string[]>>;
  readonly hash: string;
}

export function readKernelSources(): KernelSources {
  const common = readFileSync(new URL('common.cuh', folder), 'utf8');
  const files: Record<string, string> = {};
  const kernels: Record<string, [string, string]> = {};
  const ops: Record<string, string[]> = {};
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.cu'))
    .sort();
  for (const name of names) {
    const file = name.slice(0, -3);
    const source = readFileSync(new URL(name, folder), 'utf8');
    files[file] = source;
    const macros = definedMacros(source);
    const declaration = /extern "C" __global__ void\s*(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)/g;
    for (const [, kernel, parameters] of source.matchAll(declaration)) {
      const text = macros[parameters!.trim()] ?? parameters!;
      kernels[kernel!] = [file, text.split(',').map(letterOf).join('')];
    }
    for (const [list, body] of Object.entries(macros)) {
      if (/^(UNARY|BINARY)_\w+$|^COMPARE$/.test(list))
        ops[list] = [...body.matchAll(/X\((\w+),/g)].map((m) => m[1]!);
    }
  }
  const hash = createHash('sha256')
    .update(common + Object.values(files).join('\0'))
    .digest('hex');
  return { common, files, kernels, ops, hash };
}

/** Object-like macros and lists of ops, with their continuation lines. */
function definedMacros(source: string): Record<string, string> {
  const macros: Record<string, string> = {};
  for (const [, name, body] of source.matchAll(/^#define (\w+)(?:\(X\))?\s((?:.*\\\n)*.*)$/gm))
    macros[name!] = body!.replaceAll('\\\n', ' ').trim();
  return macros;
}

function letterOf(parameter: string): string {
  if (parameter.includes('*')) return 'p';
  const type = parameter.trim().split(/\s+/)[0];
  const letter = { int: 'i', u32: 'i', float: 'f', double: 'd', Layout: 'L' }[type!];
  if (letter === undefined) throw new Error(`kernels: no letter for the parameter "${parameter}"`);
  return letter;
}
