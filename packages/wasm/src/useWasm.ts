/**
 * The CPU default, Node and browser: tfjs's wasm backend with SIMD, threads of our own on its memory, memory budgeted
 * before it is allocated, and the kernels of the sparse path.
 */
import { type BackendDescription, KERNEL } from '@msae/core';
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
 * @throws RangeError for bad options, Error if wasm SIMD is missing or the binary cannot be loaded; later
 * {@link WasmMemoryError} from any operation that would not fit.
 */
export async function useWasm(options: WasmOptions = {}): Promise<BackendDescription> {
  const { maxMemoryBytes = MAX_BYTES } = options;
  const shared = canShareMemory();
  const threads = options.threads ?? (shared ? Math.min(8, coreCount()) : 1);
  if (!Number.isInteger(threads) || threads < 1 || threads > 64) {
    throw new RangeError(`useWasm: threads must be an integer from 1 to 64, got ${threads}`);
  }
  if (threads > 1 && !shared) {
    throw new RangeError(
      `useWasm: ${threads} threads need shared memory; serve the page with COOP same-origin and COEP require-corp, or leave threads out`,
    );
  }
  if (!(maxMemoryBytes >= 64 * 2 ** 20 && maxMemoryBytes <= 4 * 2 ** 30)) {
    throw new RangeError(`useWasm: maxMemoryBytes must be from 64 MiB to 4 GiB, got ${maxMemoryBytes}`);
  }
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'))) {
    throw new Error(
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
  registerKernels(runtime);
  if (!(await tf.setBackend('wasm'))) throw new Error('wasm: tfjs refused the backend');
  return {
    name: 'wasm',
    device: `WebAssembly SIMD, ${runtime.threads} ${runtime.threads === 1 ? 'thread' : 'threads'}`,
    precision: 'float32',
    threads: runtime.threads,
    limits: { maxTensorBytes: limitBytes, maxMemoryBytes: limitBytes },
    kernels: Object.values(KERNEL).filter((name) => tf.getKernel(name, 'wasm') !== undefined),
  };
}

/** Memory of the current wasm backend. @throws Error before {@link useWasm}. */
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
  if (current === undefined) throw new Error('wasm: call useWasm() first');
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
