import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { DecodeActiveAttrs, DecodeActiveInputs, DecodeActiveOutputs } from './contract.ts';

/** ŷ = b_dec + Σ f_i d_i of every row, in plain TypeScript. */
export const cpuDecode: Implementation<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs> = (
  inputs,
  _,
  backend,
) => {
  const arrays = cpuArrays(backend);
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const d = inputs.b_dec.shape[0]!;
  const [W_dec, b_dec] = [arrays.floats(inputs.W_dec), arrays.floats(inputs.b_dec)];
  const [indices, values, counts] = [
    arrays.ints(inputs.indices),
    arrays.floats(inputs.values),
    arrays.ints(inputs.counts),
  ];
  const out = new Float32Array(rows * d);
  for (let row = 0; row < rows; row++) {
    const o = row * d;
    out.set(b_dec, o);
    for (let i = 0; i < Math.min(counts[row]!, capacity); i++) {
      const f = values[row * capacity + i]!;
      const w = indices[row * capacity + i]! * d;
      for (let j = 0; j < d; j++) out[o + j] = out[o + j]! + f * W_dec[w + j]!;
    }
  }
  return { xHat: arrays.make([rows, d], out) };
};
