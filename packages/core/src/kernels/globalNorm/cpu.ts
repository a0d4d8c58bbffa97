import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { GlobalNormAttrs, GlobalNormInputs, GlobalNormOutputs } from './contract.ts';

/** ‖all arrays together‖₂, summed in float64. */
export const cpuGlobalNorm: Implementation<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = (
  inputs,
  _,
  backend,
) => {
  const arrays = cpuArrays(backend);
  let sum = 0;
  for (const info of Object.values(inputs)) {
    const values = arrays.floats(info);
    for (let i = 0; i < values.length; i++) sum += values[i]! ** 2;
  }
  return { norm: arrays.make([1], Float32Array.of(Math.sqrt(sum))) };
};
