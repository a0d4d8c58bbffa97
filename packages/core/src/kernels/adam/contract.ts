/** One Adam(W) step in place on a parameter and both of its moments. */
import type { Tensor } from '@tensorflow/tfjs-core';
import { defineKernel, isCount, isNumber, type Kernel, type TensorSpec } from '../defineKernel.ts';
import { composedAdam } from './composed.ts';
import { cpuAdam } from './cpu.ts';

/** All but `scale` have the parameter's shape; `param`, `m` and `v` are variables and are written in place. */
export interface AdamInputs {
  readonly param: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly grad: Tensor;
  /** [1]: the gradient is multiplied by it (clipping without a readback) */
  readonly scale: Tensor;
}

/** param −= lr · (m̂ / (√v̂ + ε) + weightDecay · param), with bias correction for `step` = 1, 2, … */
export interface AdamAttrs {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly step: number;
}

export type AdamOutputs = Readonly<Record<never, never>>;

const like: TensorSpec = { dtype: 'float32', shape: 'any' };

export const adamKernel: Kernel<AdamInputs, AdamAttrs, AdamOutputs> = defineKernel<
  AdamInputs,
  AdamAttrs,
  AdamOutputs
>({
  name: 'MsaeAdam',
  inputs: { param: like, m: like, v: like, grad: like, scale: { dtype: 'float32', shape: [1] } },
  attrs: {
    learningRate: isNumber,
    beta1: isNumber,
    beta2: isNumber,
    epsilon: isNumber,
    weightDecay: isNumber,
    step: isCount,
  },
  outputs: {},
  composed: composedAdam,
  cpu: cpuAdam,
});
