import * as tf from '@tensorflow/tfjs-core';
import type { GlobalNormInputs, GlobalNormOutputs } from './contract.ts';

/** The root of all squares' sum; the last axis is summed first, since one long float32 sum loses digits. */
export function composedGlobalNorm(inputs: GlobalNormInputs): GlobalNormOutputs {
  return tf.tidy(() => {
    const sums = Object.values(inputs).map((t) => tf.sum(tf.sum(tf.square(t), -1)));
    return { norm: tf.reshape(tf.sqrt(tf.addN(sums)), [1]) as tf.Tensor1D };
  });
}
