/** Active lists → reconstructions ŷ = b_dec + Σ f_i d_i. */
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { defineKernel, f32, i32, type Kernel } from '../defineKernel.ts';
import { composedDecode } from './composed.ts';
import { cpuDecode } from './cpu.ts';

export interface DecodeActiveInputs {
  /** [N, d_out] */
  readonly W_dec: Tensor2D;
  /** [d_out] */
  readonly b_dec: Tensor1D;
  /** int32 [B, C] */
  readonly indices: Tensor2D;
  /** [B, C] */
  readonly values: Tensor2D;
  /** int32 [B] */
  readonly counts: Tensor1D;
}

export interface DecodeActiveOutputs {
  /** [B, d_out] */
  readonly xHat: Tensor2D;
}

export type DecodeActiveAttrs = Readonly<Record<never, never>>;

export const decodeActiveKernel: Kernel<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs> =
  defineKernel<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs>({
    name: 'MsaeDecodeActive',
    inputs: {
      W_dec: f32('N', 'e'),
      b_dec: f32('e'),
      indices: i32('B', 'C'),
      values: f32('B', 'C'),
      counts: i32('B'),
    },
    attrs: {},
    outputs: { xHat: f32('B', 'e') },
    composed: composedDecode,
    cpu: cpuDecode,
  });
