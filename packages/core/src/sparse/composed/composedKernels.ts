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

/** Every temporary is freed at once: at most two of the parameter's size live at any moment (tfjs's own Adam: 14). */
function adam(inputs: Inputs, attrs: tf.NamedAttrMap): tf.Tensor[] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs as unknown as AdamAttrs;
  const { param, m, v, grad, scale } = inputs as Record<string, tf.Variable>;
  const replace = (variable: tf.Variable, next: tf.Tensor): void => {
    variable.assign(next);
    next.dispose();
  };
  /** Applies operations one after the other, keeping only the last result. */
  const chain = (first: tf.Tensor, ...operations: ((t: tf.Tensor) => tf.Tensor)[]): tf.Tensor =>
    operations.reduce((t, operation) => {
      const next = tf.tidy(() => operation(t));
      t.dispose();
      return next;
    }, first);

  const g1 = tf.tidy(() => tf.mul(grad!, tf.mul(scale!, 1 - beta1)));
  replace(m!, tf.mul(m!, beta1));
  replace(m!, tf.add(m!, g1));
  g1.dispose();
  const g2 = chain(tf.square(grad!), (t) => tf.mul(t, tf.mul(tf.square(scale!), 1 - beta2)));
  replace(v!, tf.mul(v!, beta2));
  replace(v!, tf.add(v!, g2));
  g2.dispose();
  if (weightDecay !== 0) replace(param!, tf.mul(param!, 1 - learningRate * weightDecay));
  const update = chain(
    tf.mul(v!, 1 / (1 - beta2 ** step)),
    (t) => tf.sqrt(t),
    (t) => tf.add(t, epsilon),
    (t) => tf.div(m!, t),
    (t) => tf.mul(t, learningRate / (1 - beta1 ** step)),
  );
  replace(param!, tf.sub(param!, update));
  update.dispose();
  return [];
}

function globalNorm(inputs: Inputs): tf.Tensor[] {
  return tf.tidy(() => {
    // the last axis first: one long float32 sum loses digits
    const sums = Object.values(inputs).map((t) => tf.sum(tf.sum(tf.square(t), -1)));
    return [tf.reshape(tf.sqrt(tf.addN(sums)), [1])];
  });
}
