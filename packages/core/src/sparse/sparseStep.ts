/**
 * One training step's loss and gradients over active latents only: encode → weighted-prefix decode with its gradient →
 * per-latent gradients. The cost does not depend on the number of prefixes. Formulas: README.md beside this file.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkTensor } from '../checks.ts';
import type { Sae } from '../sae.ts';
import { checkLoss, type MatryoshkaStep, type SaeGradients, type StepOptions } from '../step.ts';
import { KERNEL, type LatentGradsAttrs, type PrefixLossAttrs } from './contract.ts';
import { encodeBatch } from './encodeActive.ts';
import { cumulativeWeights, reportedPrefixes } from './prefixWeights.ts';
import { runKernel } from './runKernel.ts';

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
 * @param x [B, d], float32
 * @throws RangeError or TypeError for the identity activation, bad shapes, prefixes or weights.
 */
export function sparseStep(sae: Sae, x: tf.Tensor2D, options: SparseStepOptions): SparseStep {
  const { config, params } = sae;
  const { dModel: d, nLatents: n, activation, penalty } = config;
  const { prefixes, decoderPrefixWeights, penaltyCoefficient = 0, maxReported = 64 } = options;
  checkTensor('x', x, [null, d], `[batch, d_model = ${d}]`);
  checkLoss(sae, options);
  const lossAttrs: PrefixLossAttrs = {
    reportPrefixes: reportedPrefixes(prefixes.lengths, maxReported),
    penalty: penalty.kind,
    epsilon: 'epsilon' in penalty ? penalty.epsilon : 0,
    subtractLogEpsilon: penalty.kind === 'log' && penalty.subtractLogEpsilon,
    lambda: penaltyCoefficient,
    keepResidual: options.keepResidual ?? false,
  };
  const jumprelu = activation.kind === 'jumprelu' ? activation : undefined;
  const gradAttrs: LatentGradsAttrs = { nLatents: n, bandwidth: jumprelu?.bandwidth ?? 0 };
  const b_dec = config.applyBDecToInput ? params.b_dec : undefined;
  let capacity = options.capacity ?? 0;

  const tensors = tf.tidy(() => {
    const batch = encodeBatch(sae, x, {
      ...(options.capacity !== undefined && { capacity: options.capacity }),
      training: true,
      margin: (jumprelu?.bandwidth ?? 0) / 2,
    });
    capacity = batch.capacity;
    const { indices, values, counts, extra } = batch;
    const cumulative = tf.tensor1d(cumulativeWeights(prefixes.lengths, prefixes.weights, n));
    const decoderCumulative =
      decoderPrefixWeights && tf.tensor1d(cumulativeWeights(prefixes.lengths, decoderPrefixWeights, n));
    const [dValues, dW_dec, db_dec, report, residual] = runKernel(
      KERNEL.weightedPrefixDecode,
      { x, W_dec: params.W_dec, b_dec: params.b_dec, indices, values, counts, cumulative, decoderCumulative },
      lossAttrs,
    ) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D, tf.Tensor1D, tf.Tensor2D | undefined];
    const [dW_enc, db_enc, firings, squares, dThreshold, near] = runKernel(
      KERNEL.latentGrads,
      { x, b_dec, indices, values, dValues, counts, pre: jumprelu && extra, threshold: params.threshold },
      gradAttrs,
    ) as [
      tf.Tensor2D,
      tf.Tensor1D,
      tf.Tensor1D,
      tf.Tensor1D,
      tf.Tensor1D | undefined,
      tf.Tensor1D | undefined,
    ];

    const throughInput = b_dec && tf.reshape(tf.matMul(params.W_enc, tf.reshape(db_enc, [n, 1])), [d]);
    const grads: SaeGradients = {
      W_enc: dW_enc,
      b_enc: db_enc,
      W_dec: dW_dec,
      b_dec: throughInput === undefined ? db_dec : tf.sub(db_dec, throughInput),
    };
    const l0Terms = options.l0Penalty && l0PenaltyTerms(report, options.l0Penalty);
    if (dThreshold !== undefined) {
      const perRow = l0Terms && tf.mul(near!, tf.mul(l0Terms.slope, -1 / (jumprelu!.bandwidth * x.shape[0])));
      grads.threshold = perRow === undefined ? dThreshold : tf.add(dThreshold, perRow);
    }
    const step: Omit<SparseStep, 'reported' | 'capacity'> = {
      metrics:
        l0Terms === undefined ? report : (tf.concat([l0Terms.loss, tf.slice(report, 1)]) as tf.Tensor1D),
      grads,
      firings,
    };
    if (residual !== undefined) step.residual = residual;
    if (options.keepContributions) {
      const norms = tf.sum(tf.square(params.W_dec), 1);
      step.contributions = tf.mul(tf.div(squares, x.shape[0]), norms) as tf.Tensor1D;
    }
    if (activation.kind === 'batchtopk') step.smallestKept = extra as tf.Tensor1D;
    return step as typeof step & tf.TensorContainerObject;
  });
  return { ...tensors, reported: lossAttrs.reportPrefixes, capacity };
}

/** The loss with coefficient · L0 or coefficient · (L0/target − 1)² added, and the term's derivative by L0; both [1]. */
function l0PenaltyTerms(
  report: tf.Tensor1D,
  { coefficient, target }: NonNullable<StepOptions['l0Penalty']>,
): { loss: tf.Tensor1D; slope: tf.Tensor1D } {
  const loss = tf.slice(report, 0, 1);
  const l0 = tf.slice(report, 1, 1);
  if (target === undefined)
    return { loss: tf.add(loss, tf.mul(l0, coefficient)), slope: tf.fill([1], coefficient) };
  const off = tf.sub(tf.div(l0, target), 1);
  return {
    loss: tf.add(loss, tf.mul(tf.square(off), coefficient)),
    slope: tf.mul(off, (2 * coefficient) / target),
  };
}
