import {
  type GlobalNormAttrs,
  type GlobalNormInputs,
  type GlobalNormOutputs,
  type Implementation,
  tensorsOf,
} from '@msae/core/backend';
import * as tf from '@tensorflow/tfjs-core';
import { type OpAttr, type TensorflowBackend, tensorflowOf } from '../tensorflowOps.ts';

/** MsaeGlobalNorm: L2Loss is Σt²/2 in one pass. */
export const globalNorm: Implementation<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = (
  inputs,
  _,
  instance,
) => {
  const backend = tensorflowOf(instance);
  const { binding } = backend;
  const float: OpAttr = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  return tf.tidy(() => {
    const tensors = Object.values(tensorsOf(inputs));
    const halves = tensors.map((tensor) => backend.executeSingleOutput('L2Loss', [float], [tensor]));
    return { norm: tf.reshape(tf.sqrt(tf.mul(tf.addN(halves), 2)), [1]) };
  });
};
