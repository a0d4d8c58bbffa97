import { givenBy, literal, object, type Schema } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformDefinition } from './definition.ts';

export interface Centre {
  readonly kind: 'centre';
  /** [d], subtracted from every row */
  readonly mean: Float32Array;
}

/** Float32Array in memory. */
export const floats = (help: string): Schema<Float32Array> =>
  givenBy<Float32Array>(
    'a Float32Array',
    (value) => value instanceof Float32Array && value.every(Number.isFinite),
    {
      help,
    },
  );

/** z = x − mean. */
export const centreDefinition: TransformDefinition<Centre> = {
  kind: 'centre',
  help: 'z = x − mean',
  schema: object<Centre>({ kind: literal('centre'), mean: floats('subtracted from every row') }),
  arrays: (_, width) => ({ mean: [width] }),
  apply({ mean }, x) {
    const m = tf.tensor1d(mean);
    return { z: tf.sub(x, m), undo: (z) => tf.add(z, m) };
  },
  affine: ({ mean }) => ({ scale: 1, offset: Float64Array.from(mean, (value) => -value) }),
};
