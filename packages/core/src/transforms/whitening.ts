import { literal, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { floats } from './centre.ts';
import type { TransformDefinition } from './definition.ts';

export interface Whitening {
  readonly kind: 'whitening';
  /** [d] */
  readonly mean: Float32Array;
  /** M [d, d], row-major */
  readonly matrix: Float32Array;
  /** M⁻¹ [d, d], row-major */
  readonly inverse: Float32Array;
}

/** z = (x − mean)·M, x = z·M⁻¹ + mean (SAELens `covariance_whitening`). */
export const whiteningDefinition: TransformDefinition<Whitening> = {
  kind: 'whitening',
  help: 'z = (x − mean)·M',
  schema: object<Whitening>({
    kind: literal('whitening'),
    mean: floats('subtracted from every row'),
    matrix: floats('M, row-major'),
    inverse: floats('M⁻¹, row-major'),
  }),
  arrays: (_, width) => ({ mean: [width], matrix: [width, width], inverse: [width, width] }),
  apply({ mean, matrix, inverse }, x) {
    const d = x.shape[1];
    const m = tf.tensor1d(mean);
    return {
      z: tf.matMul(tf.sub(x, m), tf.tensor2d(matrix, [d, d])),
      undo: (z) => tf.add(tf.matMul(z as tf.Tensor2D, tf.tensor2d(inverse, [d, d])), m),
    };
  },
  affine({ mean, matrix, inverse }, width) {
    const offset = new Float64Array(width);
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++) offset[j]! -= mean[i]! * matrix[i * width + j]!;
    return {
      scale: 1,
      matrix: { forward: Float64Array.from(matrix), inverse: Float64Array.from(inverse) },
      offset,
    };
  },
};
