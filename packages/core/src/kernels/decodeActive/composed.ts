import * as tf from '@tensorflow/tfjs-core';
import { scatterRows } from '../scatterRows.ts';
import type { DecodeActiveInputs, DecodeActiveOutputs } from './contract.ts';

/** The lists as a dense [B, N], times W_dec. */
export function composedDecode(inputs: DecodeActiveInputs): DecodeActiveOutputs {
  return tf.tidy(() => {
    const { W_dec, b_dec, indices, values } = inputs;
    const n = W_dec.shape[0];
    const [rows, capacity] = indices.shape;
    const dense = scatterRows(
      tf.add(
        tf.minimum(indices, tf.scalar(n - 1, 'int32')),
        tf.mul(tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]), tf.scalar(n, 'int32')),
      ),
      tf.reshape(values, [rows * capacity, 1]),
      rows * n,
    );
    return { xHat: tf.add(tf.matMul(tf.reshape(dense, [rows, n]), W_dec), b_dec) as tf.Tensor2D };
  });
}
