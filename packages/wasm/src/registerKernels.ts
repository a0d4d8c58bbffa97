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
import { coversEncode, encodeActive } from './kernels/encodeActive.ts';
import { globalNorm } from './kernels/globalNorm.ts';
import { latentGrads } from './kernels/latentGrads.ts';
import { coversPrefixLoss, prefixLoss } from './kernels/prefixLoss.ts';
import { registerMatMul } from './matMul.ts';
import { runtimeOf } from './runtime.ts';
import { registerSlice } from './slice.ts';

let registered = false;

/** Registers everything that runs in code of our own on the wasm backend; kernels are shared by all its instances. */
export function registerKernels(): void {
  if (registered) return;
  registered = true;
  registerMatMul(runtimeOf);
  registerSlice(runtimeOf);
  encodeActiveKernel.provide('wasm', encodeActive, { covers: coversEncode });
  prefixLossKernel.provide('wasm', prefixLoss, { covers: coversPrefixLoss });
  latentGradsKernel.provide('wasm', latentGrads);
  decodeActiveKernel.provide('wasm', decodeActive);
  adamKernel.provide('wasm', adam);
  globalNormKernel.provide('wasm', globalNorm);
}
