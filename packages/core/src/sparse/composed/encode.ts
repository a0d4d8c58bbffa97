import * as tf from '@tensorflow/tfjs-core';
import type { EncodeActiveAttrs } from '../contract.ts';

/** Encode to active lists through a dense [B, N] and tf.topk. Exact ties at a batchtopk cutoff are all kept. */
export function composedEncode(
  inputs: Readonly<Record<string, tf.Tensor>>,
  attrs: tf.NamedAttrMap,
): tf.Tensor[] {
  const { mode, keep, capacity, cutoff, margin } = attrs as unknown as EncodeActiveAttrs;
  return tf.tidy(() => {
    const { x, W_enc, b_enc, b_dec, threshold } = inputs as Record<string, tf.Tensor2D>;
    const n = b_enc!.shape[0];
    const rows = x!.shape[0];
    const pre = tf.add(tf.matMul(b_dec ? tf.sub(x!, b_dec) : x!, W_enc!), b_enc!); // [B, N]
    let score: tf.Tensor; // above 0 where a latent belongs into the list
    let extra: tf.Tensor | undefined;
    if (mode === 'jumprelu') score = tf.sub(pre, tf.sub(threshold!, margin));
    else if (mode === 'relu') score = tf.sub(pre, cutoff);
    else if (mode === 'topk') score = pre;
    else {
      const kept = tf.topk(tf.reshape(tf.relu(pre), [-1]), Math.min(keep, rows * n), true).values;
      // the smallest kept value that is above 0
      const smallest = tf.min(tf.where(tf.greater(kept, 0), kept, tf.fill(kept.shape, 3e38)));
      extra = tf.reshape(tf.where(tf.greater(tf.max(kept), 0), smallest, tf.zerosLike(smallest)), [1]);
      score = tf.where(tf.greaterEqual(pre, extra), tf.relu(pre), tf.zerosLike(pre));
    }
    const top = tf.topk(score, capacity, true); // [B, C]
    const listed = tf.greater(top.values, 0);
    const order = tf.where(listed, top.indices, tf.fill(top.indices.shape, n, 'int32'));
    const ascending = tf.topk(tf.neg(tf.cast(order, 'float32')), capacity, true);
    const indices = tf.cast(tf.neg(ascending.values), 'int32');
    const at = tf.add(
      tf.minimum(indices, tf.scalar(n - 1, 'int32')),
      tf.mul(tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]), tf.scalar(n, 'int32')),
    );
    const preListed = tf.gather(tf.reshape(pre, [-1]), at); // [B, C]
    const real = tf.less(indices, n);
    const listedPre = tf.where(real, preListed, tf.zerosLike(preListed));
    let values = listedPre;
    if (mode === 'jumprelu') {
      const theta = tf.gather(threshold!, tf.minimum(indices, tf.scalar(n - 1, 'int32')));
      values = tf.where(tf.greater(listedPre, theta), listedPre, tf.zerosLike(listedPre));
      values = tf.where(real, values, tf.zerosLike(values));
      extra = listedPre;
    }
    const counted = mode === 'topk' ? listed : tf.greater(score, 0);
    const counts = tf.cast(tf.sum(tf.cast(counted, 'float32'), 1), 'int32');
    return extra === undefined ? [indices, values, counts] : [indices, values, counts, extra];
  });
}
