/** What trains jumprelu's thresholds: the straight-through estimator (Rajamanoharan et al. 2024), and a penalty on L0 itself. */
import * as tf from '@tensorflow/tfjs-core';
import type { Code } from './encode.ts';
import { column, rowSums } from './linalg.ts';
import type { Sae } from './sae.ts';
import type { LossOptions } from './step.ts';

/** The straight-through gradient of θ: −(θ ∂L/∂f + ∂L/∂L0 / B) / h where |pre − θ| < h/2. */
export function thresholdGradient(
  sae: Sae,
  { code, l0 }: { code: Code; l0: tf.Scalar },
  toCode: tf.Tensor2D,
  options: LossOptions,
): tf.Tensor1D {
  const activation = sae.config.activation as { bandwidth: number };
  const theta = column(sae.params.threshold!);
  return tf.tidy(() => {
    const near = tf.step(tf.sub(activation.bandwidth / 2, tf.abs(tf.sub(code.pre!, theta)))); // [N, B]
    const fromCode = tf.mul(rowSums(tf.mul(toCode, near)), sae.params.threshold!);
    const fromL0 = tf.mul(rowSums(near), tf.div(l0Slope(options, l0), code.f.shape[1]));
    return tf.div(tf.add(fromCode, fromL0), -activation.bandwidth);
  });
}

export function l0Loss({ l0Penalty }: LossOptions, l0: tf.Scalar): tf.Tensor {
  if (!l0Penalty) return tf.scalar(0);
  const { coefficient, target } = l0Penalty;
  return tf.mul(target === undefined ? l0 : tf.square(tf.sub(tf.div(l0, target), 1)), coefficient);
}

function l0Slope({ l0Penalty }: LossOptions, l0: tf.Scalar): tf.Tensor {
  if (!l0Penalty) return tf.scalar(0);
  const { coefficient, target } = l0Penalty;
  if (target === undefined) return tf.scalar(coefficient);
  return tf.mul(tf.sub(tf.div(l0, target), 1), (2 * coefficient) / target);
}
