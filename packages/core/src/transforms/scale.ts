import { literal, number, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformDefinition } from './definition.ts';

export interface Scale {
  readonly kind: 'scale';
  /** s */
  readonly factor: number;
}

/** z = s·x. What the trainer's normaliser leaves: s = √d / mean ‖x‖. */
export const scaleDefinition: TransformDefinition<Scale> = {
  kind: 'scale',
  help: 'z = s·x',
  schema: object<Scale>({ kind: literal('scale'), factor: number({ above: 0, help: 's' }) }),
  apply: ({ factor }, x) => ({ z: tf.mul(x, factor), undo: (z) => tf.div(z, factor) }),
  affine: ({ factor }, width) => ({ scale: factor, offset: new Float64Array(width) }),
};
