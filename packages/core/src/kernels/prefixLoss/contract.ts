/** Active lists → the weighted loss of all prefixes and its gradients. Formulas: kernels/README.md. */
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import { type Penalty, penaltyKinds } from '../../penalties/table.ts';
import { defineKernel, f32, i32, isFlag, isNumber, type Kernel, optional } from '../defineKernel.ts';
import { composedPrefixLoss } from './composed.ts';
import { cpuPrefixLoss } from './cpu.ts';

export interface PrefixLossInputs {
  /** [B, d_out], what is to be explained: x itself for an autoencoder */
  readonly target: Tensor2D;
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
  /** [N + 1]: C(p) = Σ_{q≤p} w_q, the weights of the activations and of the reported loss */
  readonly cumulative: Tensor1D;
  /** [N + 1]: the same of v, the decoder's weights; absent when v = w */
  readonly decoderCumulative?: Tensor1D | undefined;
}

export interface PrefixLossAttrs {
  /** Ascending, each 0 … N */
  readonly reportPrefixes: readonly number[];
  readonly penalty: Penalty;
  /** λ */
  readonly lambda: number;
  readonly keepResidual: boolean;
}

/**
 * Every listed entry takes part, whatever its sign; one with value 0 (a list that goes below a threshold) is not active.
 * S_p counts inactive latents too, at s(0) each.
 */
export interface PrefixLossOutputs {
  /** [B, C] = ∂L/∂f of every listed entry, penalty included; 0 in padding */
  readonly dValues: Tensor2D;
  /** [N, d_out] */
  readonly dW_dec: Tensor2D;
  /** [d_out] */
  readonly db_dec: Tensor1D;
  /** [3 + 2R] = L, mean L0 (listed values ≠ 0 a row), Σ‖y − ȳ‖²/B, then R_p and then S_p of `reportPrefixes` */
  readonly report: Tensor1D;
  /** [B, d_out] = y − ŷ, with `keepResidual` */
  readonly residual?: Tensor2D | undefined;
}

export const prefixLossKernel: Kernel<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = defineKernel<
  PrefixLossInputs,
  PrefixLossAttrs,
  PrefixLossOutputs
>({
  name: 'MsaePrefixLoss',
  inputs: {
    target: f32('B', 'e'),
    W_dec: f32('N', 'e'),
    b_dec: f32('e'),
    indices: i32('B', 'C'),
    values: f32('B', 'C'),
    counts: i32('B'),
    cumulative: f32('N+1'),
    decoderCumulative: optional(f32('N+1')),
  },
  attrs: {
    reportPrefixes: (value) => Array.isArray(value) && value.length > 0,
    penalty: (value) => penaltyKinds.includes((value as Penalty | undefined)?.kind as Penalty['kind']),
    lambda: isNumber,
    keepResidual: isFlag,
  },
  outputs: {
    dValues: f32('B', 'C'),
    dW_dec: f32('N', 'e'),
    db_dec: f32('e'),
    report: f32('R'),
    residual: optional(f32('B', 'e')),
  },
  composed: composedPrefixLoss,
  cpu: cpuPrefixLoss,
});
