import type { AdamAttrs } from '../contract.ts';

export interface AdamArrays {
  readonly param: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly grad: Float32Array;
  readonly scale: number;
}

/** One Adam(W) step in place (Kingma & Ba 2015, decoupled weight decay of Loshchilov & Hutter 2019). */
export function adamArrays(arrays: AdamArrays, attrs: AdamAttrs): void {
  const { param, m, v, grad, scale } = arrays;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const c1 = 1 / (1 - beta1 ** step);
  const c2 = 1 / (1 - beta2 ** step);
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! * scale;
    const mean = beta1 * m[i]! + (1 - beta1) * g;
    const variance = beta2 * v[i]! + (1 - beta2) * g * g;
    m[i] = mean;
    v[i] = variance;
    const p = param[i]!;
    param[i] = p - learningRate * ((mean * c1) / (Math.sqrt(variance * c2) + epsilon) + weightDecay * p);
  }
}

/** ‖all arrays together‖₂, summed in float64. */
export function globalNormArrays(arrays: readonly Float32Array[]): number {
  let sum = 0;
  for (const array of arrays) for (let i = 0; i < array.length; i++) sum += array[i]! ** 2;
  return Math.sqrt(sum);
}
