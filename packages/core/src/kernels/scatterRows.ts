import * as tf from '@tensorflow/tfjs-core';

/** out[at[e]] += rows[e] for every entry e, shape [n, width]; `at` int32 of any shape with as many entries as `rows`. */
export function scatterRows(at: tf.Tensor, rows: tf.Tensor, n: number): tf.Tensor {
  return tf.scatterND(tf.reshape(at, [-1, 1]), rows, [n, rows.shape[1]!]);
}
