import { getKernel, type KernelFunc } from '@tensorflow/tfjs-core';
import { registerMatMul } from './matMul.ts';
import type { Runtime } from './runtime.ts';

const runtimes = new WeakMap<object, Runtime>();
let stock: { transpose: KernelFunc; fused: KernelFunc } | undefined;

/** The runtime of the backend that a kernel was called on. */
export function runtimeOf(backend: unknown): Runtime {
  const runtime = runtimes.get(backend as object);
  if (runtime === undefined) throw new Error('wasm: this backend was not made by useWasm()');
  return runtime;
}

/** Registers everything that runs in code of our own on the wasm backend; kernels are shared by all its instances. */
export function registerKernels(runtime: Runtime): void {
  runtimes.set(runtime.backend, runtime);
  if (stock !== undefined) return;
  const transpose = getKernel('Transpose', 'wasm');
  const fused = getKernel('_FusedMatMul', 'wasm');
  stock = { transpose: transpose.kernelFunc, fused: fused.kernelFunc };
  registerMatMul(runtimeOf, stock.transpose, stock.fused);
}
