import { literal, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformDefinition } from './definition.ts';

export interface ConstantNorm {
  readonly kind: 'constant-norm';
}

/** z = x·√d/‖x‖ of each row (SAELens `constant_norm_rescale`). */
export const constantNormDefinition: TransformDefinition<ConstantNorm> = {
  kind: 'constant-norm',
  help: 'z = x·√d/‖x‖, row by row',
  schema: object<ConstantNorm>({ kind: literal('constant-norm') }),
  apply(_, x) {
    const scale = tf.div(Math.sqrt(x.shape[1]), tf.norm(x, 2, 1, true)); // [B, 1]
    return { z: tf.mul(x, scale), undo: (z) => tf.div(z, scale) };
  },
};
