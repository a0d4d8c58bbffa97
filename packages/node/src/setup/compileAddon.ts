/**
 * Compiles tfjs-node's addon with one compiler call. node-gyp is not needed for two files that use only Node-API, and
 * would bring Python, make and a download of Node's headers into it.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stderrSwitchPath } from '../loadTfjsNode.ts';
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
  const { packageDir, nodeHeaders } = options;
  await mkdir(dirname(addonPath(packageDir)), { recursive: true });
  await compile(options, compilerArguments(options));
  const source = join(packageDir, 'stderr_switch.c');
  await writeFile(source, STDERR_SWITCH);
  const flags = ['-x', 'c++', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8', `-I${nodeHeaders}`];
  await compile(options, [...flags, source, '-o', stderrSwitchPath(packageDir)]);
  await rm(source);
}

async function compile({ compiler, signal }: CompileOptions, args: string[]): Promise<void> {
  const result = await runProgram(compiler, args, { signal });
  if (result.code !== 0) throw new Error(`${compiler}: the addon does not compile: ${lastWords(result, 4)}.`);
}

/** A second addon: stderr of the whole process to /dev/null and back, because libtensorflow writes while it is loaded. */
const STDERR_SWITCH = `
#include <fcntl.h>
#include <unistd.h>
#include <node_api.h>
static int saved = -1;
static napi_value Off(napi_env env, napi_callback_info info) {
  int null = open("/dev/null", O_WRONLY);
  if (saved < 0 && null >= 0) { saved = dup(2); dup2(null, 2); }
  if (null >= 0) close(null);
  return nullptr;
}
static napi_value On(napi_env env, napi_callback_info info) {
  if (saved >= 0) { dup2(saved, 2); close(saved); saved = -1; }
  return nullptr;
}
NAPI_MODULE_INIT() {
  napi_value off, on;
  napi_create_function(env, "off", NAPI_AUTO_LENGTH, Off, nullptr, &off);
  napi_create_function(env, "on", NAPI_AUTO_LENGTH, On, nullptr, &on);
  napi_set_named_property(env, exports, "off", off);
  napi_set_named_property(env, exports, "on", on);
  return exports;
}
`;
