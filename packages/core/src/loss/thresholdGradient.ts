/** What trains thresholds: the straight-through estimator (Rajamanoharan et al. 2024), and a penalty on L0. */
import * as tf from '@tensorflow/tfjs-core';
import { activationTraits } from '../activations/table.ts';
import type { Code } from '../kernels/selection.ts';
import type { Sae } from '../model/sae.ts';
import { l0PenaltyTerms } from './l0Penalty.ts';
import { column, rowSums } from './linalg.ts';
import type { LossOptions } from './step.ts';

/** The straight-through gradient of θ: −(θ ∂L/∂f + ∂L/∂L0 / B) / h where |pre − θ| < h/2. */
export function thresholdGradient(
  sae: Sae,
  { code, l0 }: { code: Code; l0: tf.Scalar },
  toCode: tf.Tensor2D,
  options: LossOptions,
): tf.Tensor1D {
  const { bandwidth } = activationTraits(sae.config.activation).learnsThreshold!;
  const theta = column(sae.params.threshold!);
  return tf.tidy(() => {
    const near = tf.step(tf.sub(bandwidth / 2, tf.abs(tf.sub(code.pre!, theta)))); // [N, B]
    const fromCode = tf.mul(rowSums(tf.mul(toCode, near)), sae.params.threshold!);
    if (options.l0Penalty === undefined) return tf.div(fromCode, -bandwidth);
    const { slope } = l0PenaltyTerms(options.l0Penalty, l0);
    const fromL0 = tf.mul(rowSums(near), tf.div(slope, code.f.shape[1]));
    return tf.div(tf.add(fromCode, fromL0), -bandwidth);
  });
}
