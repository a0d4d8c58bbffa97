/** MsaeAdam: one Adam(W) step in place. */
import type { AdamAttrs, AdamInputs, AdamOutputs, Implementation } from '@msae/core/backend';
import { util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';

export const adam: Implementation<AdamInputs, AdamAttrs, AdamOutputs> = (inputs, attrs, instance) => {
  const backend = instance as CudaBackend;
  const { param, m, v, grad, scale } = inputs;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const n = util.sizeFromShape(param.shape);
  const pointers = [param, m, v, grad, scale].map((info) => backend.pointer(info));
  const corrections = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)] as const;
  backend.device.launchEach('adam', Math.max(256, Math.ceil(n / 4)), [
    ...pointers,
    ...[learningRate, beta1, beta2, 1 - beta1, 1 - beta2],
    ...[epsilon, weightDecay, ...corrections, n],
  ]);
  for (const info of [param, m, v]) backend.modified(info);
  return {};
};
