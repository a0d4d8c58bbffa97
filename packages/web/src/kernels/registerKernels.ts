/** Provides the six kernels of the sparse path on tfjs's `webgpu` backend. Deterministic: no float atomics anywhere. */
import {
  adamKernel,
  decodeActiveKernel,
  describeBackend,
  encodeActiveKernel,
  globalNormKernel,
  latentGradsKernel,
  prefixLossKernel,
} from '@msae/core/backend';
import { adam } from './adam.ts';
import { decodeActive } from './decodeActive.ts';
import { encodeActive } from './encodeActive.ts';
import { globalNorm } from './globalNorm.ts';
import { latentGrads } from './latentGrads.ts';
import { hasPenaltyCode } from './prefixCode.ts';
import { prefixLoss } from './prefixLoss.ts';

const NAME = 'webgpu';

/** Idempotent; called when the backend is registered. */
export function registerWebGpuKernels(): void {
  describeBackend(NAME, {
    canReadSync: false,
    tolerance: 2e-4,
    breakEvenDensity: [0.1, 0.2],
    transposedMatMul: { left: true, right: false },
  });
  encodeActiveKernel.provide(NAME, encodeActive);
  prefixLossKernel.provide(NAME, prefixLoss, { covers: ({ penalty }) => hasPenaltyCode(penalty) });
  latentGradsKernel.provide(NAME, latentGrads);
  decodeActiveKernel.provide(NAME, decodeActive);
  adamKernel.provide(NAME, adam);
  globalNormKernel.provide(NAME, globalNorm);
}
