import * as tf from '@tensorflow/tfjs-core';
import type { AdamAttrs, AdamInputs, AdamOutputs } from './contract.ts';

/** Larger tensors are worked on in row blocks, so that the temporaries of one formula stay small. */
const BLOCKS = 16;
const BLOCK_FROM = 1 << 16;

/**
 * Beyond param, m, v and the gradient, at most 1 + 9/16 of the parameter's size lives at any moment (tfjs's own Adam: 14 of
 * all parameters together): each is rebuilt block by block, and its old values are freed before the blocks are joined.
 */
export function composedAdam(inputs: AdamInputs, attrs: AdamAttrs): AdamOutputs {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const { grad, scale } = inputs;
  const [param, m, v] = [inputs.param, inputs.m, inputs.v] as tf.Variable[] as [
    tf.Variable,
    tf.Variable,
    tf.Variable,
  ];
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
  return {};
}

type Block = (tensor: tf.Tensor) => tf.Tensor;
