/** The encoder's lists at a real size against float64 on the host: the TF32 product must not change who is selected. */
import { createSae, encodeActive, topK } from '@msae/core';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { useCuda } from '../src/useCuda.ts';

export interface SelectionVerdict {
  readonly rows: number;
  /** entries that float64 ranks otherwise by more than float32's own rounding */
  readonly wrong: number;
  /** |value − float64| over the largest value */
  readonly worstValue: number;
}

export async function checkSelection(
  d: number,
  n: number,
  batch: number,
  k: number,
): Promise<SelectionVerdict> {
  const sae = createSae({ dModel: d, nLatents: n, activation: topK(k), seed: 5 });
  const x = randomRows(batch, d, 6);
  const active = encodeActive(sae, x);
  const [indices, values, W, b, rows] = await Promise.all([
    active.indices.data(),
    active.values.data(),
    sae.params.W_enc.data(),
    sae.params.b_enc.data(),
    x.data(),
  ]);
  const picked = Array.from({ length: 8 }, (_, i) => Math.floor((i * batch) / 8));
  let [wrong, worstValue] = [0, 0];
  for (const row of picked) {
    const pre = Float64Array.from(b);
    for (let j = 0; j < d; j++) {
      const xj = rows[row * d + j]!;
      for (let i = 0; i < n; i++) pre[i]! += xj * W[j * n + i]!;
    }
    const cut = [...pre].sort((p, q) => q - p)[k - 1]!;
    let largest = 0;
    for (let i = 0; i < k; i++) {
      const at = row * k + i;
      const exact = pre[indices[at]!] ?? 0;
      if (exact < cut - 2e-6 * Math.abs(cut)) wrong++;
      largest = Math.max(largest, Math.abs(exact));
      worstValue = Math.max(worstValue, Math.abs(values[at]! - exact) / largest);
    }
  }
  active.dispose();
  x.dispose();
  sae.dispose();
  return { rows: picked.length, wrong, worstValue };
}

/** In how many rows the encoder's two ways of multiplying list other latents; the backend is left in TF32. */
export async function differingLists(d: number, n: number, batch: number, k: number): Promise<number> {
  const lists: Int32Array[] = [];
  for (const matmul of ['float32', 'tf32'] as const) {
    await useCuda({ matmul });
    const sae = createSae({ dModel: d, nLatents: n, activation: topK(k), seed: 5 });
    const x = randomRows(batch, d, 6);
    const active = encodeActive(sae, x);
    lists.push((await active.indices.data()) as Int32Array);
    active.dispose();
    x.dispose();
    sae.dispose();
  }
  let differing = 0;
  for (let row = 0; row < batch; row++) {
    const [a, b] = lists.map((list) => list.subarray(row * k, (row + 1) * k).join());
    if (a !== b) differing++;
  }
  return differing;
}

export function randomRows(batch: number, d: number, seed: number): tf.Tensor2D {
  const rng = createRng(seed);
  return tf.tensor2d(
    Float32Array.from({ length: batch * d }, () => rng.normal()),
    [batch, d],
  );
}
