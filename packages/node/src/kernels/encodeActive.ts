/** Top-k lists on libtensorflow, where they beat their composition. */
import {
  type EncodeActiveAttrs,
  type EncodeActiveInputs,
  type EncodeActiveOutputs,
  type Implementation,
  tensorsOf,
} from '@msae/core/backend';
import * as tf from '@tensorflow/tfjs-core';
import { type OpAttr, type TensorflowBackend, tensorflowOf } from '../tensorflowOps.ts';
import { groupSize } from '../topKGroups.ts';

/** The k largest values of each row. */
export function coversEncode({ rule, score, keep, capacity }: EncodeActiveAttrs): boolean {
  return rule === 'perRow' && score === 'value' && capacity === keep;
}

/** MsaeEncodeActive as tensorflowEncoder.ts does it, with tensors that stay where they are. */
export const encodeActive: Implementation<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> = (
  inputs,
  { keep: k },
  instance,
) => {
  const backend = tensorflowOf(instance);
  return tf.tidy(() => {
    const { x, W_enc, b_enc, b_dec } = tensorsOf(inputs);
    const { binding } = backend;
    const [rows, n] = [x.shape[0], b_enc.shape[0]!];
    const float: OpAttr = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
    const format: OpAttr = { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' };
    const product = tf.matMul(b_dec ? tf.sub(x, b_dec) : x, W_enc);
    const pre = backend.executeSingleOutput('BiasAdd', [float, format], [product, b_enc]); // [B, N]
    const group = groupSize(n, k);
    let top: { values: tf.Tensor; indices: tf.Tensor };
    if (group === 1) {
      top = tf.topk(pre, k, false);
    } else {
      const grouped = tf.reshape(pre, [rows, n / group, group]);
      const groups = tf.topk(tf.max(grouped, 2), k, false).indices; // [B, k]
      const candidates = tf.reshape(tf.gather(grouped, groups, 1, 1), [rows, k * group]);
      const { values, indices } = tf.topk(candidates, k, false);
      const size = tf.scalar(group, 'int32');
      const chosen = tf.gather(groups, tf.floorDiv(indices, size), 1, 1);
      top = { values, indices: tf.add(tf.mul(chosen, size), tf.mod(indices, size)) };
    }
    return ascending(top, n);
  });
};

/** Sorts the lists by latent and pads what is not positive. */
function ascending(
  { values, indices }: { values: tf.Tensor; indices: tf.Tensor },
  n: number,
): { indices: tf.Tensor; values: tf.Tensor; counts: tf.Tensor } {
  const k = values.shape[1]!;
  const listed = tf.greater(values, 0);
  const order = tf.where(listed, indices, tf.fill(indices.shape, n, 'int32'));
  const sorted = tf.topk(tf.neg(tf.cast(order, 'float32')), k, true); // exact: latents are below 2²⁴
  const counts = tf.cast(tf.sum(tf.cast(listed, 'float32'), 1), 'int32');
  return {
    indices: tf.cast(tf.neg(sorted.values), 'int32'),
    values: tf.gather(tf.relu(values), sorted.indices, 1, 1),
    counts,
  };
}
