/**
 * A penalty on L0 itself, which trains thresholds: c · L0, or c · (L0/target − 1)² (Rajamanoharan et al. 2024, Anthropic 2025).
 * L0 has no gradient of its own; the straight-through estimator carries the slope to the thresholds.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface L0Penalty {
  readonly coefficient: number;
  readonly target?: number;
}

/** The penalty and its derivative by L0, both of L0's shape. Call it inside a tidy. */
export function l0PenaltyTerms(
  { coefficient, target }: L0Penalty,
  l0: tf.Tensor,
): { loss: tf.Tensor; slope: tf.Tensor } {
  if (target === undefined) return { loss: tf.mul(l0, coefficient), slope: tf.fill(l0.shape, coefficient) };
  const off = tf.sub(tf.div(l0, target), 1);
  return { loss: tf.mul(tf.square(off), coefficient), slope: tf.mul(off, (2 * coefficient) / target) };
}
