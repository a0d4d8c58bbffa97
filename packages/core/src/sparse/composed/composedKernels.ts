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

/** Larger tensors are worked on in row blocks, so that the temporaries of one formula stay small. */
const BLOCKS = 16;
const BLOCK_FROM = 1 << 16;

/**
 * Beyond param, m, v and the gradient, at most 1 + 9/16 of the parameter's size lives at any moment (tfjs's own Adam: 14 of
 * all parameters together): each is rebuilt block by block, and its old values are freed before the blocks are joined.
 */
function adam(inputs: Inputs, attrs: tf.NamedAttrMap): tf.Tensor[] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs as unknown as AdamAttrs;
  const { param, m, v, grad, scale } = inputs as Record<'param' | 'm' | 'v' | 'grad' | 'scale', tf.Variable>;
  const rows = param.shape[0] ?? 1;
  const blockRows = param.size < BLOCK_FROM ? rows : Math.ceil(rows / BLOCKS);
  const rebuild = (variable: tf.Variable, spare: tf.Variable, formula: (of: Block) => tf.Tensor): void => {
    const blocks: tf.Tensor[] = [];
    for (let from = 0; from < rows; from += blockRows) {
      const size = Math.min(blockRows, rows - from);
      const of: Block = (t) =>
        size === rows
          ? t
          : tf.slice(t, [from, ...t.shape.slice(1).map(() => 0)], [size, ...t.shape.slice(1)]);
      blocks.push(tf.tidy(() => formula(of)));
    }
    if (blocks.length > 1) variable.assign(spare);
    const next = blocks.length > 1 ? tf.concat(blocks, 0) : blocks[0]!;
    variable.assign(next);
    tf.dispose([next, ...blocks]);
  };
  rebuild(m, v, (of) => tf.add(tf.mul(of(m), beta1), tf.mul(of(grad), tf.mul(scale, 1 - beta1))));
  rebuild(v, m, (of) => {
    const square = tf.mul(tf.square(of(grad)), tf.mul(tf.square(scale), 1 - beta2));
    return tf.add(tf.mul(of(v), beta2), square);
  });
  rebuild(param, m, (of) => {
    const root = tf.add(tf.sqrt(tf.mul(of(v), 1 / (1 - beta2 ** step))), epsilon);
    const update = tf.mul(tf.div(of(m), root), learningRate / (1 - beta1 ** step));
    return tf.sub(tf.mul(of(param), 1 - learningRate * weightDecay), update);
  });
  return [];
}

type Block = (tensor: tf.Tensor) => tf.Tensor;

function globalNorm(inputs: Inputs): tf.Tensor[] {
  return tf.tidy(() => {
    // the last axis first: one long float32 sum loses digits
    const sums = Object.values(inputs).map((t) => tf.sum(tf.sum(tf.square(t), -1)));
    return [tf.reshape(tf.sqrt(tf.addN(sums)), [1])];
  });
}
