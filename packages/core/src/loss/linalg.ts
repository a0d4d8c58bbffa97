/**
 * The few matrix products of the dense path in the form that is fast on each backend.
 */
import * as tf from '@tensorflow/tfjs-core';
import { backendTraits } from '../backendTraits.ts';

/** aᵀ b: [k, m], [k, n] → [m, n]. */
export function matMulTN(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  if (backendTraits().transposedMatMul.left) return tf.matMul(a, b, true, false);
  return tf.tidy(() => tf.matMul(tf.transpose(a), b));
}

/** a bᵀ: [m, k], [n, k] → [m, n]. */
export function matMulNT(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  if (backendTraits().transposedMatMul.right) return tf.matMul(a, b, false, true);
  return tf.tidy(() => tf.matMul(a, tf.transpose(b)));
}

/** A vector as a column: [n] → [n, 1]. */
export function column(v: tf.Tensor): tf.Tensor2D {
  return tf.reshape(v, [v.size, 1]);
}

/** The sum of each row: [m, n] → [m]. */
export function rowSums(a: tf.Tensor): tf.Tensor1D {
  return tf.sum(a, 1);
}

/** The sum of all squares as a scalar, summed by rows first: tfjs's sums accumulate naively in float32. */
export function sumOfSquares(a: tf.Tensor): tf.Scalar {
  return tf.tidy(() => tf.sum(rowSums(tf.square(a))) as tf.Scalar);
}

/** Rows [from, to) of a matrix; the matrix itself (a clone) where that is all of them. */
export function rows(a: tf.Tensor2D, from: number, to: number): tf.Tensor2D {
  return from === 0 && to === a.shape[0] ? tf.clone(a) : tf.slice(a, [from, 0], [to - from, a.shape[1]]);
}
