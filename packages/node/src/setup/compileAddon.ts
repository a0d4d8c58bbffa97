/**
 * Compiles tfjs-node's addon with one compiler call. node-gyp is not needed for two files that use only Node-API, and
 * would bring Python, make and a download of Node's headers into it.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lastWords, runProgram } from './runProgram.ts';
import { FRAMEWORK, libraryName } from './tensorflowFiles.ts';

export interface CompileOptions {
  packageDir: string;
  compiler: string;
  /** Folder with node_api.h. */
  nodeHeaders: string;
  signal?: AbortSignal | undefined;
}

/** The compiler's arguments; the addon finds its libraries relative to itself, so the folder may be moved. */
export function compilerArguments(options: CompileOptions): string[] {
  const { packageDir, nodeHeaders } = options;
  const lib = join(packageDir, 'deps', 'lib');
  return [
    '-std=c++17',
    '-O2',
    '-fPIC',
    '-shared',
    '-w',
    '-DNAPI_VERSION=8',
    `-I${nodeHeaders}`,
    `-I${join(packageDir, 'deps', 'include')}`,
    join(packageDir, 'binding', 'tfjs_backend.cc'),
    join(packageDir, 'binding', 'tfjs_binding.cc'),
    '-o',
    addonPath(packageDir),
    `-L${lib}`,
    `-l:${libraryName(lib) ?? 'libtensorflow_cc.so.2'}`,
    `-l:${FRAMEWORK}`,
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
  ];
}

/** Where tfjs-node looks for its addon on every Node with Node-API 8. */
export function addonPath(packageDir: string): string {
  return join(packageDir, 'lib', 'napi-v8', 'tfjs_binding.node');
}

export async function compileAddon(options: CompileOptions): Promise<void> {
  await mkdir(dirname(addonPath(options.packageDir)), { recursive: true });
  const result = await runProgram(options.compiler, compilerArguments(options), { signal: options.signal });
  if (result.code !== 0)
    throw new Error(`${options.compiler}: the addon does not compile: ${lastWords(result, 4)}.`);
}
