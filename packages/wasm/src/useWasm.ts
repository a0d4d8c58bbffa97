/**
 * The CPU default, Node and browser: tfjs's wasm backend with SIMD, threads of our own on its memory, memory budgeted
 * before it is allocated, and the kernels of the sparse path.
 */
import { type BackendDescription, ownKernels } from '@msae/core/backend';
import { check, givenBy, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { loadBackend } from './loadBackend.ts';
import { applyMemoryBudget } from './memoryBudget.ts';
import { registerKernels } from './registerKernels.ts';
import { createRuntime, type Runtime } from './runtime.ts';

const MAX_BYTES = 4 * 2 ** 30 - 65_536;

/** Options of {@link useWasm}. */
export interface WasmOptions {
  /** Threads, the calling one included. Default: the machine's cores, at most 8; 1 in a page that is not cross-origin isolated. */
  threads?: number;
  /** What tensors and scratch buffers may take together. Default and maximum: 4 GiB, all that a wasm memory can have. */
  maxMemoryBytes?: number;
  /**
   * Where tfjs's .wasm binaries are: a folder URL that ends in '/', or their URLs by file name. Not needed in Node. A
   * bundled page gives e.g. `{ 'tfjs-backend-wasm-threaded-simd.wasm': url, 'tfjs-backend-wasm-simd.wasm': url }`.
   */
  wasmPaths?: string | Readonly<Record<string, string>>;
}

const isPaths = (value: unknown): boolean =>
  typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value));

/** Checks {@link WasmOptions}. */
const wasmOptionsSchema: Schema<WasmOptions> = object<WasmOptions>({
  threads: optional(whole({ min: 1, max: 64, help: 'threads, the calling one included' })),
  maxMemoryBytes: optional(
    number({ min: 64 * 2 ** 20, max: 4 * 2 ** 30, help: 'bytes that tensors and scratch buffers may take' }),
  ),
  wasmPaths: optional(
    givenBy<NonNullable<WasmOptions['wasmPaths']>>('a folder URL, or URLs by file name', isPaths, {
      help: "where tfjs's .wasm binaries are",
    }),
  ),
});

/** What the wasm backend has in use, in bytes. */
export interface WasmMemory {
  readonly usedBytes: number;
  /** The most that was in use since the backend started or {@link resetWasmPeak} was called. */
  readonly peakBytes: number;
  readonly limitBytes: number;
}

let current: Runtime | undefined;

/**
 * Registers the wasm backend under tfjs's name `wasm` and makes it the current one. Calling it again replaces the backend
 * (its tensors are gone).
 *
 * @throws MsaeError `option` for bad options, `device` if wasm SIMD is missing or the binary cannot be loaded; later `device`
 * from any operation that would not fit into memory.
 */
export async function useWasm(options: WasmOptions = {}): Promise<BackendDescription> {
  const { maxMemoryBytes = MAX_BYTES } = check(wasmOptionsSchema, options, 'useWasm');
  const shared = canShareMemory();
  const threads = options.threads ?? (shared ? Math.min(8, coreCount()) : 1);
  if (threads > 1 && !shared) {
    throw msaeError(
      'device',
      `useWasm: ${threads} threads need shared memory; serve the page with COOP same-origin and COEP require-corp, or leave threads out`,
    );
  }
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'))) {
    throw msaeError(
      'device',
      'wasm: this engine has no WebAssembly SIMD; use Node 20 or a browser from 2021 or later, or the cpu backend',
    );
  }
  const { backend, memory, limitBytes } = await loadBackend({
    shared,
    maxMemoryBytes: Math.min(maxMemoryBytes, MAX_BYTES),
    wasmPaths: options.wasmPaths,
  });
  const budget = applyMemoryBudget(backend, limitBytes);
  const runtime = await createRuntime({ backend, memory, budget, threads });
  if (tf.findBackendFactory('wasm') !== null) tf.removeBackend('wasm');
  current?.dispose();
  current = runtime;
  tf.registerBackend('wasm', () => backend, 2);
  registerKernels();
  if (!(await tf.setBackend('wasm'))) throw msaeError('device', 'wasm: tfjs refused the backend');
  return {
    name: 'wasm',
    device: `WebAssembly SIMD, ${runtime.threads} ${runtime.threads === 1 ? 'thread' : 'threads'}`,
    precision: 'float32',
    threads: runtime.threads,
    limits: { maxTensorBytes: limitBytes, maxMemoryBytes: limitBytes },
    kernels: ownKernels(),
  };
}

/** Memory of the current wasm backend. @throws MsaeError `state` before {@link useWasm}. */
export function wasmMemory(): WasmMemory {
  const { budget } = required();
  return { usedBytes: budget.usedBytes(), peakBytes: budget.peakBytes(), limitBytes: budget.limitBytes };
}

/** Starts a new measurement of `peakBytes`. */
export function resetWasmPeak(): void {
  required().budget.resetPeak();
}

/** Measures the own kernels from now on; the function returned stops and gives milliseconds by kernel name. */
export function profileWasm(): () => Record<string, number> {
  const runtime = required();
  const profile = new Map<string, number>();
  runtime.profile = profile;
  return () => {
    runtime.profile = undefined;
    return Object.fromEntries(profile);
  };
}

function required(): Runtime {
  if (current === undefined) throw msaeError('state', 'wasm: call useWasm() first');
  return current;
}

/** Node always can; a page only when it is cross-origin isolated. */
function canShareMemory(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  return typeof process !== 'undefined' && process.versions?.node !== undefined
    ? true
    : (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated === true;
}

function coreCount(): number {
  if (typeof process !== 'undefined' && typeof process.getBuiltinModule === 'function') {
    return process.getBuiltinModule('node:os').availableParallelism();
  }
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}
