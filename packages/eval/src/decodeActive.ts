/** x̂ from lists of active latents, for several prefixes in one pass: latents are visited in order, so each prefix is a snapshot. */
import type { ActiveRows } from './activeRows.ts';
import { checkMatrix, type Matrix, type Numbers } from './matrix.ts';

/**
 * Reconstructions of every row, one matrix [B, d] for each length in `prefixes` (ascending): b_dec + Σ_{i < length} a_i W_dec_i.
 * Throws an MsaeError when shapes disagree. The prefixes ascend strictly within 0 … N.
 */
export function decodeActive(options: {
  readonly active: ActiveRows;
  readonly decoder: Matrix;
  readonly bias: Numbers;
  readonly prefixes: readonly number[];
}): Matrix[] {
  const { active, decoder, bias, prefixes } = options;
  const width = decoder.columns;
  checkMatrix('decodeActive: decoder', decoder, bias.length, active.nLatents);
  const out = prefixes.map(() => new Float32Array(active.rows * width));
  const sum = new Float64Array(width);
  for (let r = 0; r < active.rows; r++) {
    for (let k = 0; k < width; k++) sum[k] = bias[k]!;
    let at = active.offsets[r]!;
    const end = active.offsets[r + 1]!;
    prefixes.forEach((length, p) => {
      for (; at < end && active.indices[at]! < length; at++) {
        const value = active.values[at]!;
        const from = active.indices[at]! * width;
        for (let k = 0; k < width; k++) sum[k]! += value * decoder.data[from + k]!;
      }
      out[p]!.set(sum, r * width);
    });
  }
  return out.map((data) => ({ data, rows: active.rows, columns: width }));
}
