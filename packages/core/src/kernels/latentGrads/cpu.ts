import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { LatentGradsAttrs, LatentGradsInputs, LatentGradsOutputs } from './contract.ts';

/** Gradients of the encoder from the active entries, in plain TypeScript: dW_enc[:, k] += g·x, db_enc[k] += g, and who fired. */
export const cpuLatentGrads: Implementation<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const arrays = cpuArrays(backend);
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const d = inputs.x.shape[1]!;
  const [x, b_dec] = [arrays.floats(inputs.x), arrays.maybeFloats(inputs.b_dec)];
  const [indices, counts] = [arrays.ints(inputs.indices), arrays.ints(inputs.counts)];
  const [values, dValues] = [arrays.floats(inputs.values), arrays.floats(inputs.dValues)];
  const [pre, threshold] = [arrays.maybeFloats(inputs.pre), arrays.maybeFloats(inputs.threshold)];
  const n = attrs.nLatents;
  const h = attrs.bandwidth;
  const columns = new Float32Array(n * d); // dW_enc transposed: a latent's gradient is contiguous while it is summed
  const db_enc = new Float32Array(n);
  const firings = new Float32Array(n);
  const squares = new Float32Array(n);
  const dThreshold = threshold === undefined ? undefined : new Float32Array(n);
  const near = threshold === undefined ? undefined : new Float32Array(n);
  for (let row = 0; row < rows; row++) {
    const o = row * d;
    for (let i = 0; i < Math.min(counts[row]!, capacity); i++) {
      const e = row * capacity + i;
      const latent = indices[e]!;
      const g = dValues[e]!;
      if (threshold !== undefined) {
        const t = threshold[latent]!;
        if (Math.abs(pre![e]! - t) < h / 2) {
          dThreshold![latent] = dThreshold![latent]! - (t / h) * g;
          near![latent] = near![latent]! + 1;
        }
        if (!(pre![e]! > t)) continue;
      }
      firings[latent] = firings[latent]! + 1;
      squares[latent] = squares[latent]! + values[e]! ** 2;
      db_enc[latent] = db_enc[latent]! + g;
      const w = latent * d;
      for (let j = 0; j < d; j++) columns[w + j] = columns[w + j]! + g * x[o + j]!;
    }
  }
  const dW_enc = new Float32Array(d * n);
  for (let i = 0; i < n; i++) {
    if (firings[i] === 0) continue;
    const g = db_enc[i]!;
    for (let j = 0; j < d; j++)
      dW_enc[j * n + i] = columns[i * d + j]! - (b_dec === undefined ? 0 : g * b_dec[j]!);
  }
  return {
    dW_enc: arrays.make([d, n], dW_enc),
    db_enc: arrays.make([n], db_enc),
    firings: arrays.make([n], firings),
    squares: arrays.make([n], squares),
    ...(dThreshold && near && { dThreshold: arrays.make([n], dThreshold), near: arrays.make([n], near) }),
  };
};
