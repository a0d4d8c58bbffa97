/**
 * Loads tfjs's wasm backend on a memory of our own: shared between threads where the platform allows it (always in
 * Node, cross-origin isolated in a page), with a maximum that is the caller's budget.
 */
import { msaeError } from '@msae/schema';
import { BackendWasm, setThreadsCount } from '@tensorflow/tfjs-backend-wasm';
import plainGlue from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js';
import threadedGlue from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd.js';
import { guardProcessHandlers, withSilentWorkers } from './silentWorkers.ts';

const PAGE_BYTES = 65_536;
const INITIAL_BYTES = 16 * 2 ** 20;

export interface LoadOptions {
  readonly shared: boolean;
  readonly maxMemoryBytes: number;
  /** Folder URL ending in '/', or the full URL of each binary by its file name; undefined: beside tfjs's own script (Node). */
  readonly wasmPaths?: string | Readonly<Record<string, string>> | undefined;
}

interface EmscriptenModule {
  cwrap(name: string, result: string | null, args: readonly string[]): (...args: number[]) => number;
  asm?: { memory?: WebAssembly.Memory };
  tfjs?: Record<string, (...args: number[]) => number>;
}

type Glue = (config: Record<string, unknown>) => Promise<EmscriptenModule>;

export interface LoadedBackend {
  readonly backend: BackendWasm;
  readonly memory: WebAssembly.Memory;
  /** `maxMemoryBytes`, or less where the system does not give that much. */
  readonly limitBytes: number;
}

/** Instantiates the backend; rejects with one clear error if the binary cannot be loaded. */
export async function loadBackend(options: LoadOptions): Promise<LoadedBackend> {
  const { shared, maxMemoryBytes, wasmPaths } = options;
  const file = shared ? 'tfjs-backend-wasm-threaded-simd.wasm' : 'tfjs-backend-wasm-simd.wasm';
  const memory = shared ? sharedMemory(maxMemoryBytes) : undefined;
  const glue = resolveGlue(shared ? threadedGlue : plainGlue);
  const removeHandlers = guardProcessHandlers();
  let module: EmscriptenModule;
  try {
    module = await new Promise<EmscriptenModule>((resolve, reject) => {
      const config: Record<string, unknown> = {
        locateFile: (path: string, prefix: string) =>
          path.endsWith('.wasm') ? locate(file, prefix, wasmPaths) : prefix + path,
        onAbort: (reason: unknown) =>
          reject(
            msaeError(
              'device',
              `wasm: ${file} could not be loaded (${String(reason)}); in a bundled page pass wasmPaths with its URL to useWasm()`,
            ),
          ),
        ...(memory === undefined ? {} : { wasmMemory: memory.memory, INITIAL_MEMORY: INITIAL_BYTES }),
      };
      withSilentWorkers(() => glue(config)).then(resolve, reject);
    });
  } finally {
    removeHandlers();
  }
  module.tfjs = {
    init: module.cwrap('init', null, []),
    initWithThreadsCount: module.cwrap('init_with_threads_count', null, ['number']),
    getThreadsCount: module.cwrap('get_threads_count', 'number', []),
    registerTensor: module.cwrap('register_tensor', null, ['number', 'number', 'number']),
    disposeData: module.cwrap('dispose_data', null, ['number']),
    dispose: module.cwrap('dispose', null, []),
  };
  setThreadsCount(1); // XNNPACK's own threads stay off; see silentWorkers.ts
  const backend = new BackendWasm(module as unknown as ConstructorParameters<typeof BackendWasm>[0]);
  const heap = memory?.memory ?? module.asm?.memory;
  if (heap === undefined)
    throw msaeError(
      'device',
      'wasm: the backend does not give access to its memory; use tfjs-backend-wasm 4.22.0',
    );
  return { backend, memory: heap, limitBytes: memory?.limitBytes ?? maxMemoryBytes };
}

/** Some systems reserve the whole maximum at once and refuse 4 GiB: then half of it, and so on. */
function sharedMemory(maxBytes: number): SharedMemory {
  for (let bytes = maxBytes; ; bytes /= 2) {
    const maximum = Math.ceil(bytes / PAGE_BYTES);
    try {
      const memory = new WebAssembly.Memory({ initial: INITIAL_BYTES / PAGE_BYTES, maximum, shared: true });
      return { memory, limitBytes: maximum * PAGE_BYTES };
    } catch (error) {
      if (bytes < 4 * INITIAL_BYTES) throw error;
    }
  }
}

interface SharedMemory {
  readonly memory: WebAssembly.Memory;
  readonly limitBytes: number;
}

function locate(file: string, prefix: string, paths: LoadOptions['wasmPaths']): string {
  if (paths === undefined) return prefix + file;
  if (typeof paths === 'string') return paths + file;
  const url = paths[file];
  if (url === undefined) throw msaeError('option', `wasm: wasmPaths has no entry for ${file}`);
  return url;
}

/** A CommonJS default export arrives as itself or, through some bundlers, inside `.default`. */
function resolveGlue(imported: unknown): Glue {
  const inner = (imported as { default?: unknown }).default;
  return (typeof imported === 'function' ? imported : inner) as Glue;
}
