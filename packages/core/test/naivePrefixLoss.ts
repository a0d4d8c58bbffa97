/**
 * The independent twin of the dense loss: one forward pass per prefix, as the formula is written, differentiated by tfjs's
 * own tape. Slow, and needs the union package's gradients; for tests and the benchmark only.
 */
import type { Prefixes } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs';

export interface NaiveParams {
  W_enc: tf.Tensor2D;
  b_enc: tf.Tensor1D;
  W_dec: tf.Tensor2D;
  b_dec: tf.Tensor1D;
}

/** Σ_p w_p (R_p + λ S_p) for relu latents and the log penalty. */
export function naivePrefixLoss(
  { W_enc, b_enc, W_dec, b_dec }: NaiveParams,
  x: tf.Tensor2D,
  { lengths, weights }: Prefixes,
  { penaltyCoefficient = 0, epsilon = 0.1 }: { penaltyCoefficient?: number; epsilon?: number } = {},
): tf.Scalar {
  return tf.tidy(() => {
    const [B, d] = x.shape;
    let loss: tf.Scalar = tf.scalar(0);
    for (let j = 0; j < lengths.length; j++) {
      const p = lengths[j]!;
      const f = tf.relu(tf.add(tf.matMul(x, tf.slice(W_enc, [0, 0], [d, p])), tf.slice(b_enc, 0, p)));
      const W = tf.slice(W_dec, [0, 0], [p, d]);
      const xHat = tf.add(tf.matMul(f, W), b_dec);
      const recon = tf.div(tf.sum(tf.square(tf.sub(x, xHat))), B);
      const norms = tf.sqrt(tf.sum(tf.square(W), 1));
      const sparsity = tf.div(tf.sum(tf.log(tf.add(tf.mul(f, norms), epsilon))), B);
      const prefix = tf.add(recon, tf.mul(sparsity, penaltyCoefficient));
      loss = tf.add(loss, tf.mul(prefix, weights[j]!));
    }
    return loss;
  });
}
