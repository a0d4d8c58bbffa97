import * as tf from '@tensorflow/tfjs-core';
import { scatterRows } from '../scatterRows.ts';
import type { LatentGradsAttrs, LatentGradsInputs, LatentGradsOutputs } from './contract.ts';

/** Gradients of the encoder by scattering rows of x. */
export function composedLatentGrads(
  inputs: LatentGradsInputs,
  { nLatents: n, bandwidth: h }: LatentGradsAttrs,
): LatentGradsOutputs {
  return tf.tidy(() => {
    const { x, b_dec, indices, values, dValues, pre, threshold } = inputs;
    const [rows, capacity] = indices.shape;
    const real = tf.cast(tf.less(indices, n), 'float32'); // [B, C]
    const at = tf.minimum(indices, tf.scalar(n - 1, 'int32'));
    const theta = threshold && tf.gather(threshold, at);
    const active = theta ? tf.mul(real, tf.cast(tf.greater(pre!, theta), 'float32')) : real;
    const g = tf.mul(dValues, active);
    const input = b_dec ? tf.sub(x, b_dec) : x; // [B, d]
    const d = input.shape[1]!;
    const rowsOfX = tf.reshape(tf.tile(tf.reshape(input, [rows, 1, d]), [1, capacity, 1]), [
      rows * capacity,
      d,
    ]);
    const columns = scatterRows(at, tf.mul(rowsOfX, tf.reshape(g, [rows * capacity, 1])), n); // [N, d]
    const sumByLatent = (entries: tf.Tensor): tf.Tensor1D =>
      tf.reshape(scatterRows(at, tf.reshape(entries, [rows * capacity, 1]), n), [n]);
    const out = {
      dW_enc: tf.transpose(columns) as tf.Tensor2D,
      db_enc: sumByLatent(g),
      firings: sumByLatent(active),
      squares: sumByLatent(tf.mul(tf.square(values), active)),
    };
    if (theta === undefined) return out;
    const inWindow = tf.mul(real, tf.cast(tf.less(tf.abs(tf.sub(pre!, theta)), h / 2), 'float32'));
    return {
      ...out,
      dThreshold: sumByLatent(tf.mul(tf.mul(dValues, inWindow), tf.mul(theta, -1 / h))),
      near: sumByLatent(inWindow),
    };
  });
}
