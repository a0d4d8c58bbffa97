import { adamKernel, encodeActiveKernel, globalNormKernel, prefixLossKernel } from '@msae/core/backend';
import { adam } from './kernels/adam.ts';
import { coversEncode, encodeActive } from './kernels/encodeActive.ts';
import { globalNorm } from './kernels/globalNorm.ts';
import { coversPrefixLoss, prefixLoss } from './kernels/prefixLoss.ts';

/** Registers the kernels that beat their composition once; they belong to the backend's name, not to an instance. */
export function registerTensorflowKernels(): void {
  if (encodeActiveKernel.provided('tensorflow') !== undefined) return;
  encodeActiveKernel.provide('tensorflow', encodeActive, { covers: coversEncode });
  prefixLossKernel.provide('tensorflow', prefixLoss, { covers: coversPrefixLoss });
  adamKernel.provide('tensorflow', adam);
  globalNormKernel.provide('tensorflow', globalNorm);
}
