import { literal, number, object, optional } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformDefinition } from './definition.ts';

export interface LayerNorm {
  readonly kind: 'layer-norm';
  /** Added to the standard deviation. */
  readonly epsilon: number;
}

/** z = (x − mean)/(std + ε) of each row, the std unbiased (SAELens `layer_norm`, OpenAI `sparse_autoencoder.model.LN`). */
export const layerNormDefinition: TransformDefinition<LayerNorm> = {
  kind: 'layer-norm',
  help: 'z = (x − mean)/(std + ε), row by row',
  schema: object<LayerNorm>({
    kind: literal('layer-norm'),
    epsilon: optional(number({ min: 0, help: 'ε' }), 1e-5),
  }),
  apply({ epsilon }, x) {
    const mean = tf.mean(x, 1, true); // [B, 1]
    const centred = tf.sub<tf.Tensor2D>(x, mean);
    const std = tf.sqrt(tf.div(tf.sum(tf.square(centred), 1, true), x.shape[1] - 1)); // [B, 1]
    return {
      z: tf.div(centred, tf.add(std, epsilon)),
      undo: (z) => tf.add(tf.mul(z, std), mean),
    };
  },
};
