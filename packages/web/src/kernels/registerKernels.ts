/** Registers the sparse path's kernels on tfjs's `webgpu` backend. Deterministic: no float atomics anywhere. */
import {
  type AdamAttrs,
  type EncodeActiveAttrs,
  KERNEL,
  type LatentGradsAttrs,
  type PrefixLossAttrs,
} from '@msae/core';
import { getKernel, type KernelFunc, registerKernel } from '@tensorflow/tfjs-core';
import { encodeActive } from './encodeActive.ts';
import { latentGrads } from './latentGrads.ts';
import { adam, globalNorm } from './optimizer.ts';
import { decodeActive, prefixLoss } from './prefixLoss.ts';
import type { GpuBackend } from './program.ts';

const kernels: Record<string, KernelFunc> = {
  [KERNEL.encodeActive]: ({ inputs, attrs, backend }) =>
    encodeActive(backend as GpuBackend, inputs, attrs as unknown as EncodeActiveAttrs),
  [KERNEL.decodeActive]: ({ inputs, backend }) => decodeActive(backend as GpuBackend, inputs),
  [KERNEL.weightedPrefixDecode]: ({ inputs, attrs, backend }) =>
    prefixLoss(backend as GpuBackend, inputs, attrs as unknown as PrefixLossAttrs),
  [KERNEL.latentGrads]: ({ inputs, attrs, backend }) =>
    latentGrads(backend as GpuBackend, inputs, attrs as unknown as LatentGradsAttrs),
  [KERNEL.adam]: ({ inputs, attrs, backend }) =>
    adam(backend as GpuBackend, inputs, attrs as unknown as AdamAttrs),
  [KERNEL.globalNorm]: ({ inputs, backend }) => globalNorm(backend as GpuBackend, inputs),
};

/** Idempotent; called when the backend is registered. */
export function registerWebGpuKernels(): void {
  for (const [kernelName, kernelFunc] of Object.entries(kernels)) {
    if (getKernel(kernelName, 'webgpu') === undefined) {
      registerKernel({ kernelName, backendName: 'webgpu', kernelFunc });
    }
  }
}
