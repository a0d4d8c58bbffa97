/**
 * What each latent is worth: how much the loss of the full reconstruction would rise without it,
 *
 *     worth_i = Σ_rows ‖x − x̂ + f_i d_i‖² − ‖x − x̂‖² = Σ_rows f_i² ‖d_i‖² + 2 f_i (x − x̂)·d_i
 *
 * A latent can fire often and be worth nothing (it stands for what others say, or patches what they say wrongly), which
 * firing counts do not show. Sums are kept in float64 on the host, so a checkpoint can hold them.
 */
import { encode, type Sae } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';

/** Worth of every latent, summed over the rows observed since the last reset. */
export interface WorthTracker {
  add(worth: ArrayLike<number>): void;
  /** Latents worth less than `fraction` of the median latent, ascending; none before the first batch. */
  weak(fraction: number): Int32Array;
  reset(): void;
  /** Reorder: new latent i is old latent `order[i]`. */
  permute(order: Int32Array): void;
  /** [N], or null when nothing has been observed since the last reset. */
  state(): Float64Array | null;
  restore(sums: Float64Array | null): void;
}

export function createWorthTracker(): WorthTracker {
  let sums: Float64Array | null = null;
  return {
    add(worth) {
      sums ??= new Float64Array(worth.length);
      for (let i = 0; i < sums.length; i++) sums[i]! += worth[i]!;
    },
    weak(fraction) {
      if (sums === null) return new Int32Array(0);
      const limit = fraction * median(sums);
      const values = sums;
      return Int32Array.from(values.keys()).filter((i) => values[i]! < limit);
    },
    reset() {
      sums = null;
    },
    permute(order) {
      const old = sums;
      if (old !== null) sums = Float64Array.from(order, (i) => old[i]!);
    },
    state: () => sums?.slice() ?? null,
    restore(values) {
      sums = values?.slice() ?? null;
    },
  };
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const n = sorted.length;
  return (sorted[n >> 1]! + sorted[(n - 1) >> 1]!) / 2;
}

/**
 * The worth of every latent on one batch.
 *
 * @param weights an SAE without a transform
 * @param x [B, d] what its encoder sees
 * @param residual [B, d] x − x̂ of the full prefix
 * @returns [N], the caller's
 */
export function latentWorth(weights: Sae, x: tf.Tensor2D, residual: tf.Tensor2D): tf.Tensor1D {
  const { W_dec } = weights.params;
  return tf.tidy(() => {
    const f = encode(weights, x, { training: true }); // [B, N]
    const squares = tf.mul(tf.sum(tf.square(f), 0), tf.sum(tf.square(W_dec), 1)); // [N]
    const overlaps = tf.matMul(residual, tf.transpose(W_dec)); // [B, N]
    return tf.add(squares, tf.mul(2, tf.sum(tf.mul(f, overlaps), 0))) as tf.Tensor1D;
  });
}
