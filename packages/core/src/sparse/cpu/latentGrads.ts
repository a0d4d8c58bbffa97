/** Gradients of the encoder from the active entries: dW_enc[:, k] += g·x, db_enc[k] += g, and who fired. */
import type { LatentGradsAttrs } from '../contract.ts';

export interface LatentGradsArrays {
  readonly x: Float32Array;
  readonly b_dec: Float32Array | undefined;
  readonly indices: Int32Array;
  readonly values: Float32Array;
  readonly dValues: Float32Array;
  readonly counts: Int32Array;
  readonly pre: Float32Array | undefined;
  readonly threshold: Float32Array | undefined;
  readonly rows: number;
  readonly d: number;
  readonly capacity: number;
}

export interface LatentGradsResult {
  readonly dW_enc: Float32Array;
  readonly db_enc: Float32Array;
  readonly firings: Float32Array;
  readonly squares: Float32Array;
  readonly dThreshold: Float32Array | undefined;
  readonly near: Float32Array | undefined;
}

export function latentGradsArrays(input: LatentGradsArrays, attrs: LatentGradsAttrs): LatentGradsResult {
  const { x, b_dec, indices, values, dValues, counts, pre, threshold, rows, d, capacity } = input;
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
  return { dW_enc, db_enc, firings, squares, dThreshold, near };
}
