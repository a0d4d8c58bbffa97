/**
 * The CPU default of msae: tfjs's wasm backend with SIMD and threads in Node and browsers, a memory budget, and kernels of
 * its own for matrix products and the sparse training step.
 *
 * @example
 * ```ts
 * import { useWasm } from '@msae/wasm';
 *
 * const { threads, kernels } = await useWasm({ threads: 2 });
 * ```
 *
 * @module
 */
export {
  profileWasm,
  resetWasmPeak,
  useWasm,
  type WasmMemory,
  type WasmOptions,
  wasmMemory,
} from './useWasm.ts';
