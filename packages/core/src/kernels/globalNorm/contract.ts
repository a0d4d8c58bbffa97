/** ‖all tensors together‖₂, without a readback. */
import type { Tensor, Tensor1D } from '@tensorflow/tfjs-core';
import { defineKernel, f32, type Kernel } from '../defineKernel.ts';
import { composedGlobalNorm } from './composed.ts';
import { cpuGlobalNorm } from './cpu.ts';

/** Any named float32 tensors. */
export interface GlobalNormInputs {
  readonly [name: string]: Tensor;
}

export type GlobalNormAttrs = Readonly<Record<never, never>>;

export interface GlobalNormOutputs {
  /** [1] */
  readonly norm: Tensor1D;
}

export const globalNormKernel: Kernel<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = defineKernel<
  GlobalNormInputs,
  GlobalNormAttrs,
  GlobalNormOutputs
>({
  name: 'MsaeGlobalNorm',
  inputs: 'any',
  attrs: {},
  outputs: { norm: f32(1) },
  composed: composedGlobalNorm,
  cpu: cpuGlobalNorm,
});
