import {
  type AdamAttrs,
  type EncodeActiveAttrs,
  KERNEL,
  type LatentGradsAttrs,
  type PrefixLossAttrs,
} from '@msae/core';
import { type KernelFunc, registerKernel } from '@tensorflow/tfjs-core';
import { encodeActive } from './kernels/encodeActive.ts';
import { latentGrads } from './kernels/latentGrads.ts';
import { adam, decodeActive, globalNorm } from './kernels/optimiser.ts';
import { prefixLoss } from './kernels/prefixLoss.ts';
import { registerMatMul } from './matMul.ts';
import type { Runtime } from './runtime.ts';
import { registerSlice } from './slice.ts';

const runtimes = new WeakMap<object, Runtime>();
let registered = false;

/** The runtime of the backend that a kernel was called on. */
export function runtimeOf(backend: unknown): Runtime {
  const runtime = runtimes.get(backend as object);
  if (runtime === undefined) throw new Error('wasm: this backend was not made by useWasm()');
  return runtime;
}

/** Registers everything that runs in code of our own on the wasm backend; kernels are shared by all its instances. */
export function registerKernels(runtime: Runtime): void {
  runtimes.set(runtime.backend, runtime);
  if (registered) return;
  registered = true;
  registerMatMul(runtimeOf);
  registerSlice(runtimeOf);
  for (const [kernelName, kernelFunc] of Object.entries(sparseKernels)) {
    registerKernel({ kernelName, backendName: 'wasm', kernelFunc });
  }
}

const sparseKernels: Record<string, KernelFunc> = {
  [KERNEL.encodeActive]: ({ inputs, attrs, backend }) =>
    encodeActive(runtimeOf(backend), inputs, attrs as unknown as EncodeActiveAttrs),
  [KERNEL.weightedPrefixDecode]: ({ inputs, attrs, backend }) =>
    prefixLoss(runtimeOf(backend), inputs, attrs as unknown as PrefixLossAttrs),
  [KERNEL.latentGrads]: ({ inputs, attrs, backend }) =>
    latentGrads(runtimeOf(backend), inputs, attrs as unknown as LatentGradsAttrs),
  [KERNEL.decodeActive]: ({ inputs, backend }) => decodeActive(runtimeOf(backend), inputs),
  [KERNEL.adam]: ({ inputs, attrs, backend }) =>
    adam(runtimeOf(backend), inputs, attrs as unknown as AdamAttrs),
  [KERNEL.globalNorm]: ({ inputs, backend }) => globalNorm(runtimeOf(backend), inputs),
};
