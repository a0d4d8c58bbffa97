/**
 * Builds the emulated driver: the kernels of kernels/ compiled by g++ for the CPU (emulation/), behind the entry points of
 * libcuda and cuBLAS that this package calls. `npx tsx packages/cuda/scripts/buildEmulator.ts` prints the library's path, for
 * MSAE_CUDA_EMULATE.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readKernelSources } from './kernelSources.ts';

const FLAGS = ['-std=c++17', '-O2', '-march=native', '-fno-strict-aliasing', '-fPIC', '-shared', '-w'];

/** The path of the library, built where it does not exist yet; undefined where there is no g++. */
export function buildEmulator(): string | undefined {
  const { common, files, kernels } = readKernelSources();
  const read = (name: string): string =>
    readFileSync(new URL(`../emulation/${name}`, import.meta.url), 'utf8');
  // a namespace a file: what two of them define does not meet
  const units = Object.entries(files).map(([name, source]) => `namespace ${name}_file {\n${source}\n}\n`);
  const list = Object.entries(kernels).map(
    ([name, [file]]) => `{"${name}", emulation::Invoke<&${file}_file::${name}>::run}`,
  );
  const program = [
    read('cuda_emulation.h'),
    common,
    ...units,
    `static const emulation::Kernel KERNELS[] = {${list.join(',\n')}};`,
    read('driver.cpp'),
  ].join('\n');
  const hash = createHash('sha256')
    .update(program + FLAGS.join())
    .digest('hex')
    .slice(0, 16);
  const cache = fileURLToPath(new URL('../node_modules/.cache/', import.meta.url));
  const library = `${cache}emulated-${hash}.so`;
  if (existsSync(library)) return library;
  if (spawnSync('g++', ['--version']).status !== 0) return undefined;
  mkdirSync(cache, { recursive: true });
  const source = `${cache}emulated-${process.pid}.cpp`;
  writeFileSync(source, program);
  const built = spawnSync('g++', [...FLAGS, source, '-o', `${library}.${process.pid}`], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`g++ failed:\n${built.stderr.slice(0, 4000)}`);
  renameSync(`${library}.${process.pid}`, library);
  return library;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const library = buildEmulator();
  if (library === undefined) throw new Error('buildEmulator: needs g++');
  process.stdout.write(`${library}\n`);
}
