/** What the kernels of one backend share: its memory, the kernel module, the threads, and scratch buffers that are kept. */
import { msaeError } from '@msae/schema';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sharedKernels, kernels as singleModule } from './generated/kernels.ts';
import type { MemoryBudget } from './memoryBudget.ts';
import { createThreadPool, type Task, type ThreadPool } from './threadPool.ts';

const ARGS_BYTES = 512;

export interface Runtime {
  readonly backend: BackendWasm;
  readonly budget: MemoryBudget;
  readonly threads: number;
  /** Runs tasks 0 … tasks−1 of a kernel on all threads. Arguments are 32-bit words; see {@link f32}. */
  run(name: string, tasks: number, args: readonly number[]): void;
  /** A buffer of at least `bytes` that stays allocated under this name; its contents are whatever was there. */
  scratch(name: string, bytes: number): number;
  /** Where a tensor's values are. */
  pointer(tensor: TensorInfo): number;
  /** A view of float32 values in memory, valid until the next allocation. */
  floats(pointer: number, length: number): Float32Array;
  ints(pointer: number, length: number): Int32Array;
  doubles(pointer: number, length: number): Float64Array;
  /** While set, adds the milliseconds of every job to its name. */
  profile: Map<string, number> | undefined;
  dispose(): void;
}

const runtimes = new WeakMap<object, Runtime>();

/** The runtime of the backend that a kernel was called on. @throws MsaeError `state` for a backend of somebody else's */
export function runtimeOf(backend: unknown): Runtime {
  const runtime = runtimes.get(backend as object);
  if (runtime === undefined) throw msaeError('state', 'wasm: this backend was not made by useWasm()');
  return runtime;
}

const bits = new Int32Array(1);
const asFloat = new Float32Array(bits.buffer);

/** A float32 argument as the 32-bit word that {@link Runtime.run} passes on. */
export function f32(value: number): number {
  asFloat[0] = value;
  return bits[0]!;
}

export interface RuntimeOptions {
  readonly backend: BackendWasm;
  readonly memory: WebAssembly.Memory;
  readonly budget: MemoryBudget;
  readonly threads: number;
}

export async function createRuntime({ backend, memory, budget, threads }: RuntimeOptions): Promise<Runtime> {
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const module = await WebAssembly.compile(decodeBase64(shared ? sharedKernels : singleModule));
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const exported = Object.entries(instance.exports).filter(([, value]) => typeof value === 'function');
  const kernels = Object.fromEntries(exported) as Record<string, WebAssembly.ExportValue & Task>;
  const pool: ThreadPool = await createThreadPool({
    kernels,
    module,
    memory,
    workers: shared ? threads - 1 : 0,
  });
  const args = budget.malloc(ARGS_BYTES, 'kernel arguments');
  const buffers = new Map<string, { raw: number; pointer: number; bytes: number }>();
  let words = new Int32Array(memory.buffer);

  const runtime: Runtime = {
    profile: undefined,
    backend,
    budget,
    threads: pool.threads,
    run(name, tasks, values) {
      if (words.length !== memory.buffer.byteLength / 4) words = new Int32Array(memory.buffer);
      for (let i = 0; i < values.length; i++) words[args / 4 + i] = values[i]!;
      const { profile } = runtime;
      if (profile === undefined) return pool.run(name, args, tasks);
      const start = performance.now();
      pool.run(name, args, tasks);
      profile.set(name, (profile.get(name) ?? 0) + performance.now() - start);
    },
    scratch(name, bytes) {
      const held = buffers.get(name);
      if (held !== undefined && held.bytes >= bytes) return held.pointer;
      if (held !== undefined) {
        buffers.delete(name);
        budget.free(held.raw);
      }
      // aligned to cache lines: vectors that straddle two of them cost the matrix product a quarter of its speed
      const raw = budget.malloc(bytes + 64, `the scratch buffer "${name}"`);
      const pointer = Math.ceil(raw / 64) * 64;
      buffers.set(name, { raw, pointer, bytes });
      return pointer;
    },
    pointer: (tensor) => backend.dataIdMap.get(tensor.dataId).memoryOffset,
    floats: (pointer, length) => new Float32Array(memory.buffer, pointer, length),
    ints: (pointer, length) => new Int32Array(memory.buffer, pointer, length),
    doubles: (pointer, length) => new Float64Array(memory.buffer, pointer, length),
    dispose: () => pool.dispose(),
  };
  runtimes.set(backend, runtime);
  return runtime;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
