import type { AdamAttrs, AdamInputs, AdamOutputs, Implementation } from '@msae/core/backend';
import { util } from '@tensorflow/tfjs-core';
import { f32, runtimeOf } from '../runtime.ts';

const CHUNK = 65_536;

/** MsaeAdam: one pass over param, m, v and grad, in place. */
export const adam: Implementation<AdamInputs, AdamAttrs, AdamOutputs> = (inputs, attrs, backend) => {
  const runtime = runtimeOf(backend);
  const { param, m, v, grad, scale } = inputs;
  const length = util.sizeFromShape(param.shape);
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const corrections = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step), weightDecay, 1 - beta1, 1 - beta2];
  runtime.run('adam', Math.ceil(length / CHUNK), [
    ...[param, m, v, grad, scale].map((info) => runtime.pointer(info)),
    length,
    ...[learningRate, beta1, beta2, epsilon, ...corrections].map(f32),
  ]);
  return {};
};
