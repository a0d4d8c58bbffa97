/**
 * One training step's loss and gradients over active latents only: encode → weighted-prefix decode with its gradient →
 * per-latent gradients. The cost does not depend on the number of prefixes. Formulas: kernels/README.md.
 */
import * as tf from '@tensorflow/tfjs-core';
import { activationTraits } from '../activations/table.ts';
import { latentGradsKernel } from '../kernels/latentGrads/contract.ts';
import { prefixLossKernel } from '../kernels/prefixLoss/contract.ts';
import { encodeInside } from '../model/encodeActive.ts';
import type { Sae } from '../model/sae.ts';
import { l0PenaltyTerms } from './l0Penalty.ts';
import { cumulativeWeights, reportedPrefixes } from './prefixWeights.ts';
import { checkLoss, type MatryoshkaStep, type SaeGradients, type StepOptions, stepInputs } from './step.ts';

export interface SparseStepOptions extends StepOptions {
  /** Width of the active lists; see {@link EncodeActiveOptions}. */
  capacity?: number;
  /** Report R_p and S_p of at most this many prefixes, evenly spread and the full one among them. Default 64. */
  maxReported?: number;
}

export interface SparseStep extends MatryoshkaStep {
  /** Width C of the lists that were used */
  capacity: number;
}

/**
 * Loss and gradients of a batch through the sparse path; equal to `matryoshkaStep` up to rounding.
 *
 * @param x [B, d], float32, raw
 * @throws MsaeError for an activation that leaves nothing inactive, bad shapes, prefixes or weights.
 */
export function sparseStep(sae: Sae, x: tf.Tensor, options: SparseStepOptions): SparseStep {
  const { config, params } = sae;
  const { nLatents: n, activation, penalty } = config;
  const { prefixes, decoderPrefixWeights, penaltyCoefficient = 0, maxReported = 64 } = options;
  checkLoss(sae, options);
  const reported = reportedPrefixes(prefixes.lengths, maxReported);
  const learns = activationTraits(activation).learnsThreshold;
  const bandwidth = learns?.bandwidth ?? 0;
  const b_dec = config.applyBDecToInput ? params.b_dec : undefined;
  let capacity = options.capacity ?? 0;

  const tensors = tf.tidy(() => {
    const { z, target } = stepInputs(sae, x, options);
    const batch = encodeInside(sae, z, {
      ...(options.capacity !== undefined && { capacity: options.capacity }),
      training: true,
      window: true,
    });
    capacity = batch.capacity;
    const { indices, values, counts, pre } = batch;
    const { W_dec } = params;
    const cumulative = tf.tensor1d(cumulativeWeights(prefixes.lengths, prefixes.weights, n));
    const decoderCumulative =
      decoderPrefixWeights && tf.tensor1d(cumulativeWeights(prefixes.lengths, decoderPrefixWeights, n));
    const { dValues, dW_dec, db_dec, report, residual } = prefixLossKernel.run(
      { target, W_dec, b_dec: params.b_dec, indices, values, counts, cumulative, decoderCumulative },
      {
        reportPrefixes: reported,
        penalty,
        lambda: penaltyCoefficient,
        keepResidual: options.keepResidual ?? false,
      },
    );
    const { dW_enc, db_enc, firings, squares, dThreshold, near } = latentGradsKernel.run(
      { x: z, b_dec, indices, values, dValues, counts, pre, threshold: params.threshold },
      { nLatents: n, bandwidth },
    );

    const throughInput =
      b_dec && tf.reshape(tf.matMul(params.W_enc, tf.reshape(db_enc, [n, 1])), [b_dec.size]);
    const grads: SaeGradients = {
      W_enc: dW_enc,
      b_enc: db_enc,
      W_dec: dW_dec,
      b_dec: throughInput === undefined ? db_dec : tf.sub(db_dec, throughInput),
    };
    const l0Terms = options.l0Penalty && l0PenaltyTerms(options.l0Penalty, tf.slice(report, 1, 1));
    if (dThreshold !== undefined) {
      const perRow = l0Terms && tf.mul(near!, tf.mul(l0Terms.slope, -1 / (bandwidth * z.shape[0])));
      grads.threshold = perRow === undefined ? dThreshold : tf.add(dThreshold, perRow);
    }
    const step: Omit<SparseStep, 'reported' | 'capacity'> = {
      metrics:
        l0Terms === undefined
          ? report
          : (tf.concat([tf.add(tf.slice(report, 0, 1), l0Terms.loss), tf.slice(report, 1)]) as tf.Tensor1D),
      grads,
      firings,
    };
    if (residual !== undefined) step.residual = residual;
    if (options.keepContributions) {
      const norms = tf.sum(tf.square(W_dec), 1);
      step.contributions = tf.mul(tf.div(squares, z.shape[0]), norms) as tf.Tensor1D;
    }
    if (batch.smallestKept !== undefined) step.smallestKept = batch.smallestKept;
    return step as typeof step & tf.TensorContainerObject;
  });
  return { ...tensors, reported, capacity };
}
