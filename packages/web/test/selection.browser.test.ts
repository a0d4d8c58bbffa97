/** What the selections of encodeActive keep on webgpu, against plain loops: tiles, signs, ties, lists that are cut, NaN. */
import { type EncodeActiveAttrs, encodeActiveKernel } from '@msae/core/backend';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { useWebGpu } from '../src/index.ts';

interface Lists {
  indices: number[][];
  values: number[][];
  counts: number[];
  smallestKept: number | undefined;
  pre: number[][] | undefined;
}

const base: EncodeActiveAttrs = {
  rule: 'perRow',
  score: 'value',
  keep: 0,
  cutoff: 0,
  margin: 0,
  capacity: 4,
};

/** pre = x wᵀ exactly, as the width of x is 1. */
async function select(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  attrs: Partial<EncodeActiveAttrs>,
  theta?: number[],
): Promise<Lists> {
  const [rows, n] = [x.length, w.length];
  const inputs = tf.tidy(() => ({
    x: tf.tensor2d(Float32Array.from(x), [rows, 1]),
    W_enc: tf.tensor2d(Float32Array.from(w), [1, n]),
    b_enc: tf.zeros([n]) as tf.Tensor1D,
    threshold: theta && tf.tensor1d(theta),
  }));
  const out = encodeActiveKernel.run(inputs, { ...base, ...attrs });
  const lists: Lists = {
    indices: await out.indices.array(),
    values: await out.values.array(),
    counts: await out.counts.array(),
    smallestKept: out.smallestKept && (await out.smallestKept.array())[0],
    pre: out.pre && (await out.pre.array()),
  };
  tf.dispose([...Object.values(inputs), ...Object.values(out)].filter((t) => t !== undefined));
  return lists;
}

/** The `keep` largest of some scores that are above 0 (ties: the earlier one), in the order they came. */
function largest<T extends { score: number }>(entries: T[], keep: number): T[] {
  const kept = entries
    .map((entry, at) => ({ entry, at }))
    .filter(({ entry }) => entry.score > 0)
    .sort((a, b) => b.entry.score - a.entry.score || a.at - b.at)
    .slice(0, keep)
    .sort((a, b) => a.at - b.at);
  return kept.map(({ entry }) => entry);
}

const scoreOf = (value: number, { score }: Pick<EncodeActiveAttrs, 'score'>): number =>
  score === 'magnitude' ? Math.abs(value) : value;

describe('selections on webgpu', () => {
  beforeAll(async () => {
    await useWebGpu({ allowFallback: true });
  });

  describe.each(['value', 'magnitude'] as const)('by %s', (score) => {
    // 8,192 rows make tiles of 2,048 latents
    const [rows, n] = [8192, 2500];
    const rng = createRng(7);
    const x = Float32Array.from({ length: rows }, () => rng.normal());
    // coarse, so that there are ties within and across tiles
    const w = Float32Array.from({ length: n }, () => Math.round(40 * rng.normal()) / 16);
    const row = (r: number): { row: number; latent: number; value: number; score: number }[] =>
      Array.from(w, (weight, latent) => {
        const value = Math.fround(x[r]! * weight);
        return { row: r, latent, value, score: scoreOf(value, { score }) };
      });
    const sampled = [0, 1, 17, 4095, 4096, rows - 1];

    it('perRow over several tiles', async () => {
      const lists = await select(x, w, { score, keep: 5, capacity: 6 });
      for (const r of sampled) {
        const kept = largest(row(r), 5);
        expect(lists.counts[r]).toBe(kept.length);
        expect(lists.indices[r]!.slice(0, kept.length)).toEqual(kept.map((entry) => entry.latent));
        expect(lists.values[r]!.slice(0, kept.length)).toEqual(kept.map((entry) => entry.value));
        expect([lists.indices[r]!.at(-1), lists.values[r]!.at(-1)]).toEqual([n, 0]);
      }
    });

    it('above a cutoff over several tiles', async () => {
      const cutoff = 3;
      const lists = await select(x, w, { score, rule: 'above', cutoff, capacity: 1024 });
      for (const r of sampled) {
        const kept = row(r).filter((entry) => entry.score > cutoff);
        expect(lists.counts[r]).toBe(kept.length);
        if (kept.length > 1024) continue;
        expect(lists.indices[r]!.slice(0, kept.length)).toEqual(kept.map((entry) => entry.latent));
        expect(lists.values[r]!.slice(0, kept.length)).toEqual(kept.map((entry) => entry.value));
      }
    });

    it('perBatch over several tiles, ties included', async () => {
      const keep = 3001;
      const lists = await select(x, w, { score, rule: 'perBatch', keep, capacity: 64 });
      const scale = Math.max(...w.map((weight) => scoreOf(weight, { score })));
      const candidates = Array.from({ length: rows }, (_, r) => r)
        .filter((r) => Math.abs(x[r]!) * Math.max(scale, 8) > 1)
        .flatMap((r) => largest(row(r), 80));
      const kept = largest(candidates, keep);
      expect(lists.smallestKept).toBe(Math.min(...kept.map((entry) => entry.score)));
      const perRow = Map.groupBy(kept, (entry) => entry.row);
      const wrong = Array.from({ length: rows }, (_, r) => r).filter((r) => {
        const own = perRow.get(r) ?? [];
        if (own.length > 64) return lists.counts[r] !== 65;
        return (
          lists.counts[r] !== own.length ||
          own.some((entry, i) => lists.indices[r]![i] !== entry.latent || lists.values[r]![i] !== entry.value)
        );
      });
      expect(wrong).toEqual([]);
    });
  });

  it('aboveThreshold: listed from the margin on, active from the threshold on', async () => {
    const w = [0.5, 0.95, 1, 1.05, 2, -1.05, -2];
    const theta = w.map(() => 1);
    const attrs = { rule: 'aboveThreshold', margin: 0.125, capacity: 7 } as const;
    const f32 = (values: number[]): number[] => values.map(Math.fround);
    const byValue = await select([1], w, attrs, theta);
    expect(byValue.counts).toEqual([4]);
    expect(byValue.indices[0]).toEqual([1, 2, 3, 4, 7, 7, 7]);
    expect(byValue.values[0]).toEqual(f32([0, 0, 1.05, 2, 0, 0, 0]));
    expect(byValue.pre![0]).toEqual(f32([0.95, 1, 1.05, 2, 0, 0, 0]));
    const bySize = await select([1], w, { ...attrs, score: 'magnitude' }, theta);
    expect(bySize.counts).toEqual([6]);
    expect(bySize.indices[0]).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(bySize.values[0]).toEqual(f32([0, 0, 1.05, 2, -1.05, -2, 0]));
    expect(bySize.pre![0]).toEqual(f32([0.95, 1, 1.05, 2, -1.05, -2, 0]));
    // below 0 there are activations too, where a threshold lets them be
    const low = await select([1], [-0.5, -2, 0.25], { ...attrs, margin: 0 }, [-1, -1, -1]);
    expect([low.counts, low.values[0]!.slice(0, 2)]).toEqual([[2], [-0.5, 0.25]]);
  });

  it('a row whose list was cut says so, and its values are NaN', async () => {
    const w = [1, 2, 3, 4, 5, 6];
    const above = await select([1, 0.1], w, { rule: 'above', cutoff: 0.5, capacity: 2 });
    expect(above.counts).toEqual([6, 1]);
    expect([above.values[0]!.some(Number.isNaN), above.values[1]!.some(Number.isNaN)]).toEqual([true, false]);
    // 4 values are listed, 5 belong to the batch's largest, and both rows have more
    const batch = await select([1, 0.1], w, { rule: 'perBatch', keep: 5, capacity: 2 });
    expect(batch.counts).toEqual([3, 3]);
    expect(batch.values.map((values) => values.some(Number.isNaN))).toEqual([true, true]);
    // the second row has nothing that the batch wants
    const one = await select([1, 0.1], w, { rule: 'perBatch', keep: 3, capacity: 2 });
    expect(one.counts).toEqual([3, 0]);
    // exactly as many as are wanted: nothing was cut
    const exact = await select([1, 0.1], w.slice(0, 2), { rule: 'perBatch', keep: 4, capacity: 2 });
    expect([exact.counts, exact.smallestKept]).toEqual([[2, 2], Math.fround(0.1)]);
  });

  it.each(['perRow', 'perBatch', 'above', 'aboveThreshold'] as const)('a NaN is listed: %s', async (rule) => {
    for (const score of ['value', 'magnitude'] as const) {
      const attrs = { rule, score, keep: rule === 'above' ? 0 : 2, cutoff: 0.1, capacity: 3 };
      const theta = [1, 1, 1];
      const { values, counts } = await select([1, -1], [0.5, Number.NaN, -2], attrs, theta);
      expect(values.map((list) => list.some(Number.isNaN))).toEqual([true, true]);
      expect(counts.every((count) => count >= 1)).toBe(true);
    }
  });

  it('nothing above 0 is nothing listed, by value', async () => {
    for (const rule of ['perRow', 'perBatch', 'above'] as const) {
      const { indices, counts, smallestKept } = await select([1, 2], [-1, -0, 0, -3], { rule, keep: 3 });
      expect([indices, counts]).toEqual([
        [
          [4, 4, 4, 4],
          [4, 4, 4, 4],
        ],
        [0, 0],
      ]);
      expect(smallestKept).toBe(rule === 'perBatch' ? 0 : undefined);
    }
  });
});
