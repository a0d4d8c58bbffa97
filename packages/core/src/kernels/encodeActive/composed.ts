import * as tf from '@tensorflow/tfjs-core';
import { scores } from '../selection.ts';
import type { EncodeActiveAttrs, EncodeActiveInputs, EncodeActiveOutputs } from './contract.ts';

/** Encode to active lists through a dense [B, N] and tf.topk. Exact ties at a `perBatch` cutoff are all kept. */
export function composedEncode(inputs: EncodeActiveInputs, attrs: EncodeActiveAttrs): EncodeActiveOutputs {
  const { rule, score, keep, capacity, cutoff, margin } = attrs;
  return tf.tidy(() => {
    const { x, W_enc, b_enc, b_dec, threshold } = inputs;
    const n = b_enc.shape[0];
    const rows = x.shape[0];
    const pre = tf.add(tf.matMul(b_dec ? tf.sub(x, b_dec) : x, W_enc), b_enc) as tf.Tensor2D; // [B, N]
    const size = scores(pre, score);
    let rank: tf.Tensor; // above 0 where a latent belongs into the list
    let smallestKept: tf.Tensor1D | undefined;
    if (rule === 'aboveThreshold') rank = tf.sub(size, tf.sub(threshold!, margin));
    else if (rule === 'above') rank = tf.sub(size, cutoff);
    else if (rule === 'perRow') rank = size;
    else {
      const kept = tf.topk(tf.reshape(tf.relu(size), [-1]), Math.min(keep, rows * n), true).values;
      // the smallest kept score that is above 0
      const smallest = tf.min(tf.where(tf.greater(kept, 0), kept, tf.fill(kept.shape, 3e38)));
      smallestKept = tf.reshape(tf.where(tf.greater(tf.max(kept), 0), smallest, tf.zerosLike(smallest)), [1]);
      rank = tf.where(tf.greaterEqual(size, smallestKept), tf.relu(size), tf.zerosLike(size));
    }
    const top = tf.topk(rank, capacity, true); // [B, C]
    const listed = tf.greater(top.values, 0);
    const order = tf.where(listed, top.indices, tf.fill(top.indices.shape, n, 'int32'));
    const ascending = tf.topk(tf.neg(tf.cast(order, 'float32')), capacity, true);
    const indices = tf.cast(tf.neg(ascending.values), 'int32') as tf.Tensor2D;
    const at = tf.add(
      tf.minimum(indices, tf.scalar(n - 1, 'int32')),
      tf.mul(tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]), tf.scalar(n, 'int32')),
    );
    const found = tf.gather(tf.reshape(pre, [-1]), at); // [B, C]
    const real = tf.less(indices, n);
    const listedPre = tf.where(real, found, tf.zerosLike(found)) as tf.Tensor2D;
    const counted = rule === 'perRow' ? listed : tf.greater(rank, 0);
    const counts = tf.cast(tf.sum(tf.cast(counted, 'float32'), 1), 'int32') as tf.Tensor1D;
    if (rule !== 'aboveThreshold')
      return { indices, values: listedPre, counts, ...(smallestKept && { smallestKept }) };
    const theta = tf.gather(threshold!, tf.minimum(indices, tf.scalar(n - 1, 'int32')));
    const above = tf.logicalAnd(real, tf.greater(scores(listedPre, score), theta));
    const values = tf.where(above, listedPre, tf.zerosLike(listedPre)) as tf.Tensor2D;
    return { indices, values, counts, pre: listedPre };
  });
}
