/** Every kernel of the contract from stock tfjs ops: slower, but right on any backend. */
import * as tf from '@tensorflow/tfjs-core';
import { type AdamAttrs, KERNEL, type LatentGradsAttrs } from '../contract.ts';
import { composedEncode } from './encode.ts';
import { composedPrefixLoss } from './prefixLoss.ts';
import { scatterRows } from './scatterRows.ts';

type Inputs = Readonly<Record<string, tf.Tensor>>;

export type ComposedKernel = (inputs: Inputs, attrs: tf.NamedAttrMap) => tf.Tensor[];

export const composedKernels: Readonly<Record<string, ComposedKernel>> = {
  [KERNEL.encodeActive]: composedEncode,
  [KERNEL.weightedPrefixDecode]: composedPrefixLoss,
  [KERNEL.decodeActive]: decodeActive,
  [KERNEL.latentGrads]: latentGrads,
  [KERNEL.adam]: adam,
  [KERNEL.globalNorm]: globalNorm,
};

function decodeActive(inputs: Inputs): tf.Tensor[] {
  return tf.tidy(() => {
    const { W_dec, b_dec, indices, values } = inputs as Record<string, tf.Tensor2D>;
    const n = W_dec!.shape[0];
    const [rows, capacity] = indices!.shape;
    const dense = scatterRows(
      tf.add(
        tf.minimum(tf.cast(indices!, 'int32'), tf.scalar(n - 1, 'int32')),
        tf.mul(tf.reshape(tf.range(0, rows, 1, 'int32'), [rows, 1]), tf.scalar(n, 'int32')),
      ),
      tf.reshape(values!, [rows * capacity, 1]),
      rows * n,
    );
    return [tf.add(tf.matMul(tf.reshape(dense, [rows, n]), W_dec!), b_dec!)];
  });
}

function latentGrads(inputs: Inputs, attrs: tf.NamedAttrMap): tf.Tensor[] {
  const { nLatents: n, bandwidth: h } = attrs as unknown as LatentGradsAttrs;
  return tf.tidy(() => {
    const { x, b_dec, indices, values, dValues, pre, threshold } = inputs as Record<string, tf.Tensor2D>;
    const [rows, capacity] = indices!.shape;
    const real = tf.cast(tf.less(indices!, n), 'float32'); // [B, C]
    const at = tf.minimum(indices!, tf.scalar(n - 1, 'int32'));
    const theta = threshold && tf.gather(threshold, at);
    const active = theta ? tf.mul(real, tf.cast(tf.greater(pre!, theta), 'float32')) : real;
    const g = tf.mul(dValues!, active);
    const input = b_dec ? tf.sub(x!, b_dec) : x!; // [B, d]
    const d = input.shape[1]!;
    const rowsOfX = tf.reshape(tf.tile(tf.reshape(input, [rows, 1, d]), [1, capacity, 1]), [
      rows * capacity,
      d,
    ]);
    const columns = scatterRows(at, tf.mul(rowsOfX, tf.reshape(g, [rows * capacity, 1])), n); // [N, d]
    const sumByLatent = (entries: tf.Tensor): tf.Tensor =>
      tf.reshape(scatterRows(at, tf.reshape(entries, [rows * capacity, 1]), n), [n]);
    const out = [
      tf.transpose(columns),
      sumByLatent(g),
      sumByLatent(active),
      sumByLatent(tf.mul(tf.square(values!), active)),
    ];
    if (theta) {
      const inWindow = tf.mul(real, tf.cast(tf.less(tf.abs(tf.sub(pre!, theta)), h / 2), 'float32'));
      out.push(sumByLatent(tf.mul(tf.mul(dValues!, inWindow), tf.mul(theta, -1 / h))), sumByLatent(inWindow));
    }
    return out;
  });
}

function adam(inputs: Inputs, attrs: tf.NamedAttrMap): tf.Tensor[] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs as unknown as AdamAttrs;
  tf.tidy(() => {
    const { param, m, v, grad, scale } = inputs as Record<string, tf.Variable>;
    const g = tf.mul(grad!, scale!);
    m!.assign(tf.add(tf.mul(m!, beta1), tf.mul(g, 1 - beta1)));
    v!.assign(tf.add(tf.mul(v!, beta2), tf.mul(tf.square(g), 1 - beta2)));
    const mean = tf.div(m!, 1 - beta1 ** step);
    const root = tf.add(tf.sqrt(tf.div(v!, 1 - beta2 ** step)), epsilon);
    const update = tf.add(tf.div(mean, root), tf.mul(param!, weightDecay));
    param!.assign(tf.sub(param!, tf.mul(update, learningRate)));
  });
  return [];
}

function globalNorm(inputs: Inputs): tf.Tensor[] {
  return tf.tidy(() => {
    // the last axis first: one long float32 sum loses digits
    const sums = Object.values(inputs).map((t) => tf.sum(tf.sum(tf.square(t), -1)));
    return [tf.reshape(tf.sqrt(tf.addN(sums)), [1])];
  });
}
