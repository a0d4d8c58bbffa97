import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { AdamAttrs, AdamInputs, AdamOutputs } from './contract.ts';

/** One Adam(W) step in place (Kingma & Ba 2015, decoupled weight decay of Loshchilov & Hutter 2019), in float64. */
export const cpuAdam: Implementation<AdamInputs, AdamAttrs, AdamOutputs> = (inputs, attrs, backend) => {
  const { floats } = cpuArrays(backend);
  const [param, m, v] = [floats(inputs.param), floats(inputs.m), floats(inputs.v)];
  const grad = floats(inputs.grad);
  const scale = floats(inputs.scale)[0]!;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const c1 = 1 / (1 - beta1 ** step);
  const c2 = 1 / (1 - beta2 ** step);
  for (let i = 0; i < param.length; i++) {
    const g = grad[i]! * scale;
    const mean = beta1 * m[i]! + (1 - beta1) * g;
    const variance = beta2 * v[i]! + (1 - beta2) * g * g;
    m[i] = mean;
    v[i] = variance;
    const p = param[i]!;
    param[i] = p - learningRate * ((mean * c1) / (Math.sqrt(variance * c2) + epsilon) + weightDecay * p);
  }
  return {};
};
