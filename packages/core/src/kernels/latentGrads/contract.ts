/** Active lists and ∂L/∂f → gradients of the encoder and of thresholds, and who fired. */
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { defineKernel, f32, i32, isCount, isNumber, type Kernel, optional } from '../defineKernel.ts';
import { composedLatentGrads } from './composed.ts';
import { cpuLatentGrads } from './cpu.ts';

export interface LatentGradsInputs {
  /** [B, d] */
  readonly x: Tensor2D;
  /** [d], as for `encodeActive` */
  readonly b_dec?: Tensor1D | undefined;
  /** int32 [B, C] */
  readonly indices: Tensor2D;
  /** [B, C] */
  readonly values: Tensor2D;
  /** [B, C] = ∂L/∂f */
  readonly dValues: Tensor2D;
  /** int32 [B] */
  readonly counts: Tensor1D;
  /** [B, C], with `threshold` */
  readonly pre?: Tensor2D | undefined;
  /** [N], where latents have thresholds */
  readonly threshold?: Tensor1D | undefined;
}

export interface LatentGradsAttrs {
  /** N */
  readonly nLatents: number;
  /** h, with thresholds; else 0 */
  readonly bandwidth: number;
}

/**
 * Every listed entry is active; with thresholds, those with pre > θ. ∂f/∂θ = −(θ/h)·1[|pre − θ| < h/2], the straight-through
 * estimator of Rajamanoharan et al. 2024.
 */
export interface LatentGradsOutputs {
  /** [d, N] */
  readonly dW_enc: Tensor2D;
  /** [N] */
  readonly db_enc: Tensor1D;
  /** [N]: rows in which the latent is active */
  readonly firings: Tensor1D;
  /** [N] = Σ_rows f² */
  readonly squares: Tensor1D;
  /** [N], with thresholds */
  readonly dThreshold?: Tensor1D | undefined;
  /** [N], with thresholds: rows with |pre − θ| < h/2 */
  readonly near?: Tensor1D | undefined;
}

export const latentGradsKernel: Kernel<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs> =
  defineKernel<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs>({
    name: 'MsaeLatentGrads',
    inputs: {
      x: f32('B', 'd'),
      b_dec: optional(f32('d')),
      indices: i32('B', 'C'),
      values: f32('B', 'C'),
      dValues: f32('B', 'C'),
      counts: i32('B'),
      pre: optional(f32('B', 'C')),
      threshold: optional(f32('N')),
    },
    attrs: { nLatents: isCount, bandwidth: isNumber },
    outputs: {
      dW_enc: f32('d', 'N'),
      db_enc: f32('N'),
      firings: f32('N'),
      squares: f32('N'),
      dThreshold: optional(f32('N')),
      near: optional(f32('N')),
    },
    composed: composedLatentGrads,
    cpu: cpuLatentGrads,
  });
