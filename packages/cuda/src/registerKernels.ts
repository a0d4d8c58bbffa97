/** Everything that runs on the backend "cuda": tfjs's ops, and the contract of the sparse path. */
import {
  adamKernel,
  decodeActiveKernel,
  encodeActiveKernel,
  globalNormKernel,
  latentGradsKernel,
  prefixLossKernel,
} from '@msae/core/backend';
import { adam } from './kernels/adam.ts';
import { decodeActive } from './kernels/decodeActive.ts';
import { encodeActive } from './kernels/encodeActive.ts';
import { globalNorm } from './kernels/globalNorm.ts';
import { latentGrads } from './kernels/latentGrads.ts';
import { prefixLoss } from './kernels/prefixLoss.ts';
import { elementwiseOps } from './ops/elementwise.ts';
import { matMulOps } from './ops/matMul.ts';
import { reductionOps } from './ops/reductions.ts';
import { BACKEND, registerOps } from './ops/register.ts';
import { shapeOps } from './ops/shapes.ts';
import { sortingOps } from './ops/sorting.ts';

let registered = false;

/** Registers all kernels; they are shared by every instance of the backend. */
export function registerKernels(): void {
  if (registered) return;
  registered = true;
  for (const ops of [elementwiseOps, shapeOps, reductionOps, sortingOps, matMulOps]) registerOps(ops);
  encodeActiveKernel.provide(BACKEND, encodeActive);
  prefixLossKernel.provide(BACKEND, prefixLoss);
  latentGradsKernel.provide(BACKEND, latentGrads);
  decodeActiveKernel.provide(BACKEND, decodeActive);
  adamKernel.provide(BACKEND, adam);
  globalNormKernel.provide(BACKEND, globalNorm);
}
