/** What a step is asked and what it answers: the types that the dense and the sparse path share. */
import { checkPrefixes, type Prefixes } from '@msae/sampler';
import type * as tf from '@tensorflow/tfjs-core';
import type { ParamName, Sae } from './sae.ts';

/** What the loss is, besides the SAE. */
export interface LossOptions {
  /** Prefix lengths p_j and weights w_j. */
  prefixes: Prefixes;
  /** v_j, one for each prefix: its weight in the gradients of W_dec and b_dec. Default: the same as w. */
  decoderPrefixWeights?: ArrayLike<number>;
  /** λ; default 0. */
  penaltyCoefficient?: number;
  /** jumprelu: a penalty on L0 itself, which trains the thresholds: coefficient · L0, or coefficient · (L0/target − 1)². */
  l0Penalty?: { readonly coefficient: number; readonly target?: number };
}

/** Options of {@link matryoshkaStep}. */
export interface StepOptions extends LossOptions {
  /** Also return x − x̂ of the full prefix. Default false. */
  keepResidual?: boolean;
  /** Also return each latent's mean a²·‖d‖². Default false. */
  keepContributions?: boolean;
}

/** Gradients by parameter name, each of its parameter's shape. */
export type SaeGradients = { [name in Exclude<ParamName, 'threshold'>]: tf.Tensor } & {
  threshold?: tf.Tensor;
};

/** What a step returns; all tensors are the caller's to dispose (`disposeStep`). */
export interface MatryoshkaStep {
  /** [3 + 2P]: see {@link readMetrics}. */
  metrics: tf.Tensor1D;
  /** The prefix lengths that `metrics` reports on. */
  reported: ArrayLike<number>;
  grads: SaeGradients;
  /** [N]: in how many rows each latent is active. */
  firings: tf.Tensor1D;
  /** [B, d]: x − x̂, if asked for. */
  residual?: tf.Tensor2D;
  /** [N]: mean over rows of f²·‖d‖², if asked for. */
  contributions?: tf.Tensor1D;
  /** [1]: batchtopk's smallest kept activation, from the sparse path. */
  smallestKept?: tf.Tensor1D;
}

/** @throws RangeError unless prefixes, both weight vectors, λ and the L0 penalty make sense for this SAE. */
export function checkLoss(
  sae: Sae,
  { prefixes, decoderPrefixWeights, penaltyCoefficient, l0Penalty }: LossOptions,
): void {
  const { nLatents: N, activation } = sae.config;
  checkPrefixes(prefixes, N);
  if (decoderPrefixWeights) checkPrefixes({ lengths: prefixes.lengths, weights: decoderPrefixWeights }, N);
  if (penaltyCoefficient !== undefined && !Number.isFinite(penaltyCoefficient)) {
    throw new RangeError(`loss: penaltyCoefficient must be a finite number, got ${penaltyCoefficient}`);
  }
  if (!l0Penalty) return;
  if (activation.kind !== 'jumprelu') {
    throw new RangeError(
      `loss: l0Penalty trains jumprelu thresholds, but this SAE's activation is ${activation.kind}`,
    );
  }
  if (
    !Number.isFinite(l0Penalty.coefficient) ||
    (l0Penalty.target !== undefined && !(l0Penalty.target > 0 && l0Penalty.target <= N))
  ) {
    throw new RangeError(
      `loss: l0Penalty needs a finite coefficient and a target above 0 and at most N = ${N}, got ${JSON.stringify(l0Penalty)}`,
    );
  }
}
