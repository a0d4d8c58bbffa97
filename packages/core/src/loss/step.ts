/** What a step is asked and what it answers: the types that the dense and the sparse path share. */
import { checkPrefixes, type Prefixes } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { activationTraits } from '../activations/table.ts';
import { flat, rawInput } from '../model/encode.ts';
import { isAutoencoder, outputSite, type ParamName, type Sae } from '../model/sae.ts';
import { applyTransform } from '../transforms/table.ts';

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

/** What is explained, where it is not x. */
export interface TargetOptions {
  /** [B, d_out] what the reconstruction is compared with; needed by a transcoder. Default: x. */
  target?: tf.Tensor;
  /** x and target are what the weights see already: the SAE's transform has been applied to them. Default false. */
  transformed?: boolean;
}

/** Options of {@link matryoshkaStep}. */
export interface StepOptions extends LossOptions, TargetOptions {
  /** Also return y − ŷ of the full prefix, as the weights see them. Default false. */
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
  /** [B, d_out]: y − ŷ, if asked for. */
  residual?: tf.Tensor2D;
  /** [N]: mean over rows of f²·‖d‖², if asked for. */
  contributions?: tf.Tensor1D;
  /** [1]: the smallest activation kept, where the batch as a whole is cut (batchtopk). */
  smallestKept?: tf.Tensor1D;
}

/**
 * What the weights see of a batch and of what it is to explain; the caller's to dispose (they may be one tensor).
 *
 * @throws MsaeError `shape` for a batch that does not fit, `missing` for a transcoder without a target
 */
export function stepInputs(
  sae: Sae,
  x: tf.Tensor,
  { target, transformed = false }: TargetOptions,
): { z: tf.Tensor2D; target: tf.Tensor2D } {
  const { config, transform, skip } = sae;
  const rows = rawInput(sae, x);
  if (target === undefined && !isAutoencoder(config)) {
    throw msaeError(
      'missing',
      "loss: this SAE writes another site than it reads; pass { target }, that site's activations",
    );
  }
  if (target !== undefined) {
    rawInput(sae, target, 'target', outputSite(config));
    if (target.shape[0] !== x.shape[0]) {
      throw msaeError(
        'shape',
        `loss: target has ${target.shape[0]} rows, x has ${x.shape[0]}; they must belong together`,
      );
    }
  }
  if (skip !== null && transformed) {
    throw msaeError(
      'unsupported',
      'loss: an SAE with a skip connection needs raw activations, not transformed ones',
    );
  }
  return tf.tidy(() => {
    const z = transformed ? flat(rows) : applyTransform(transform.input, flat(rows)).z;
    if (target === undefined && skip === null) {
      const kept = tf.clone(z) as tf.Tensor2D;
      return { z: kept, target: kept };
    }
    const wanted = flat(target ?? rows);
    const explained = skip === null ? wanted : (tf.sub(wanted, tf.matMul(flat(rows), skip)) as tf.Tensor2D);
    const seen = transformed ? explained : applyTransform(transform.output, explained).z;
    return { z: tf.clone(z) as tf.Tensor2D, target: tf.clone(seen) as tf.Tensor2D };
  });
}

/** @throws MsaeError `option` unless prefixes, both weight vectors, λ and the L0 penalty make sense for this SAE. */
export function checkLoss(
  sae: Sae,
  { prefixes, decoderPrefixWeights, penaltyCoefficient, l0Penalty }: LossOptions,
): void {
  const { nLatents: N, activation } = sae.config;
  checkPrefixes(prefixes, N);
  if (decoderPrefixWeights) checkPrefixes({ lengths: prefixes.lengths, weights: decoderPrefixWeights }, N);
  if (penaltyCoefficient !== undefined && !Number.isFinite(penaltyCoefficient)) {
    throw msaeError('option', `loss: penaltyCoefficient must be a finite number, got ${penaltyCoefficient}`);
  }
  if (!l0Penalty) return;
  if (activationTraits(activation).learnsThreshold === undefined) {
    throw msaeError(
      'option',
      `loss: l0Penalty trains thresholds, but an SAE with activation ${activation.kind} learns none`,
    );
  }
  if (
    !Number.isFinite(l0Penalty.coefficient) ||
    (l0Penalty.target !== undefined && !(l0Penalty.target > 0 && l0Penalty.target <= N))
  ) {
    throw msaeError(
      'option',
      `loss: l0Penalty needs a finite coefficient and a target above 0 and at most N = ${N}, got ${JSON.stringify(l0Penalty)}`,
    );
  }
}
