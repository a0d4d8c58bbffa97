import { createSae, decode, encode, topK } from '@msae/core';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  activeRows,
  type EvaluationBatch,
  evaluate,
  evaluateLatents,
  evaluationToJson,
  type Metric,
  matrix,
  standardMetrics,
} from '../src/index.ts';

const [rows, d, n] = [300, 6, 16];
const noise = (s: number) => {
  const v = Math.sin(12.9898 * s) * 43758.5453;
  return 2 * (v - Math.floor(v)) - 1;
};
const data = Float32Array.from({ length: rows * d }, (_, at) => noise(at) + (at % d));
const tokenIds = Int32Array.from({ length: rows }, (_, r) => (r * 7) % 11);
const positions = Int32Array.from({ length: rows }, (_, r) => r % 50);

function* batches(size: number, width: number = d): Generator<EvaluationBatch> {
  for (let from = 0; from < rows; from += size) {
    const to = Math.min(rows, from + size);
    yield {
      data: data.slice(from * width, to * width),
      rows: to - from,
      width,
      tokenIds: tokenIds.slice(from, to),
      positions: positions.slice(from, to),
    };
  }
}

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('evaluate', () => {
  it("equals metrics from core's own encode and decode, leaks nothing, and does not depend on the batch size", async () => {
    const sae = createSae({ dModel: d, nLatents: n, activation: topK(4), init: 'tied', seed: 1 });
    sae.params.b_dec.assign(tf.tensor1d([0, 1, 2, 3, 4, 5]));
    const before = tf.memory().numTensors;
    const evaluation = await evaluate(sae, batches(100), {
      prefixes: [0, 8],
      labelSets: [{ name: 'parity', names: ['even', 'odd'], labelsOf: (b) => b.tokenIds!.map((t) => t % 2) }],
      totalRows: rows,
    });
    expect(tf.memory().numTensors).toBe(before);

    const x = tf.tensor2d(data, [rows, d]);
    const f = encode(sae, x);
    const dense = await f.data();
    const expectFvu = async (length: number, fvu: number) => {
      const kept = tf.tensor2d(
        dense.map((v, at) => (at % n < length ? v : 0)),
        [rows, n],
      );
      const xHat = await decode(sae, kept).data();
      const mean = Float64Array.from({ length: d }, (_, k) => {
        let sum = 0;
        for (let r = 0; r < rows; r++) sum += data[r * d + k]! / rows;
        return sum;
      });
      let [error, variance] = [0, 0];
      for (let at = 0; at < rows * d; at++) {
        error += (data[at]! - xHat[at]!) ** 2;
        variance += (data[at]! - mean[at % d]!) ** 2;
      }
      expect(fvu).toBeCloseTo(error / variance, 5);
    };
    expect(evaluation.prefixes.map((p) => p.length)).toEqual([0, 8, 16]);
    for (const { length, fvu } of evaluation.prefixes) await expectFvu(length, fvu);
    expect(evaluation.reconstruction.fvu).toBeCloseTo(evaluation.prefixes[2]!.fvu, 12);
    expect(evaluation.prefixes[0]?.l0).toBe(0);
    expect(evaluation.sparsity.l0).toBeCloseTo(dense.filter((v) => v !== 0).length / rows, 10);
    expect(evaluation.prefixes[2]?.l0).toBeCloseTo(evaluation.sparsity.l0, 10);

    const other = await evaluate(sae, batches(50), { prefixes: [0, 8] });
    expect(other.reconstruction.fvu).toBeCloseTo(evaluation.reconstruction.fvu, 12);
    expect(other.forest.parent).toEqual(evaluation.forest.parent);
    expect(other.contexts[3]).toEqual(evaluation.contexts[3]);
    sae.dispose();
  });

  it('profiles labels and probes them; JSON has no typed arrays and no NaN', async () => {
    const sae = createSae({ dModel: d, nLatents: n, activation: topK(4), seed: 2 });
    const evaluation = await evaluate(sae, batches(64), {
      labelSets: [
        {
          name: 'half',
          names: ['low', 'high'],
          labelsOf: (_b, first) =>
            new Int32Array(64).map((_, r) => (first + r < 150 ? 0 : 1)).subarray(0, _b.rows),
        },
      ],
    });
    expect(evaluation.labels?.base).toEqual(Float64Array.from([0.5, 0.5]));
    expect(evaluation.probes[0]?.sparseProbing.perLabel).toHaveLength(2);
    const parsed = JSON.parse(evaluationToJson(evaluation));
    expect(parsed.sparsity.densities).toHaveLength(n);
    expect(parsed.histograms[0].counts).toHaveLength(32);
    expect(parsed.reconstruction.fvu).toBeCloseTo(evaluation.reconstruction.fvu, 3);
    sae.dispose();
  });

  it('leaves contexts out when there are no token ids', async () => {
    const sae = createSae({ dModel: d, nLatents: n, seed: 0 });
    const evaluation = await evaluate(sae, [{ data, rows, width: d }]);
    expect(evaluation.contexts.every((contexts) => contexts.length === 0)).toBe(true);
    sae.dispose();
  });

  it('refuses another width, an empty stream, NaN and bad prefixes', async () => {
    const sae = createSae({ dModel: 5, nLatents: n, seed: 0 });
    await expect(evaluate(sae, batches(100))).rejects.toThrow(/6 wide but the SAE was made for 5/);
    await expect(evaluate(sae, [])).rejects.toThrow(/holds no rows/);
    await expect(evaluate(sae, [], { prefixes: [4, 4] })).rejects.toThrow(
      /prefixes: .* must increase strictly/,
    );
    const bad = Float32Array.from([1, 2, Number.NaN, 4, 5]);
    await expect(evaluate(sae, [{ data: bad, rows: 1, width: 5 }])).rejects.toThrow(/not finite|NaN/);
    sae.dispose();
  });
});

it('4,096 latents, 24 active, 20,000 tokens: bounded memory and a few seconds', async () => {
  const [N, width, size] = [4096, 16, 1000];
  const decoder = matrix(
    Float32Array.from({ length: N * width }, (_, at) => noise(at)),
    width,
  );
  function* stream(): Generator<EvaluationBatch> {
    for (let b = 0; b < 20; b++) {
      yield {
        data: new Float32Array(size * width).map((_, at) => noise(at + b)),
        rows: size,
        width,
        tokenIds: new Int32Array(size),
      };
    }
  }
  const evaluation = await evaluateLatents(
    {
      nLatents: N,
      width,
      decoder,
      bias: new Float32Array(width),
      encode: ({ rows: r, data: x }) => {
        const offsets = Int32Array.from({ length: r + 1 }, (_, row) => row * 24);
        const indices = Int32Array.from(
          { length: r * 24 },
          (_, at) => (at % 24) * 170 + Math.abs(Math.floor(x[at % x.length]! * 169)),
        );
        return { rows: r, nLatents: N, offsets, indices, values: new Float32Array(r * 24).fill(1) };
      },
    },
    stream(),
  );
  expect(evaluation.sparsity.l0).toBe(24);
  expect(evaluation.tokens).toBe(20_000);
});

describe('rows that training left out', () => {
  const width = 3;
  const decoder = matrix(Float32Array.from([1, 0, 0, 0, 1, 0, 0, 0, 1]), width);
  /** Halves every row: FVU .25 exactly where the mean is 0. */
  const halves = {
    nLatents: 3,
    width,
    decoder,
    bias: new Float32Array(width),
    encode: ({ data, rows }: { data: Float32Array; rows: number }) =>
      activeRows({ data: data.map((value) => value / 2), rows, columns: 3 }),
  };
  const data = Float32Array.from([2, 0, 0, -2, 0, 0, 300, 0, 0, 0, 2, 0, 0, -2, 0, 0, 400, 0]);
  const batch = { data, rows: 6, width, docIds: Int32Array.from([0, 1, 2, 3, 4, 5]) };

  it('are left out of every metric, counted and shown; the others keep their places', async () => {
    const seen: number[] = [];
    const places: Metric<'places', null, null> = {
      name: 'places',
      start: () => null,
      add: (_, { firstRow, tokens }) =>
        seen.push(...Array.from(tokens.docIds!, (id, r) => id - (firstRow + r))),
      result: () => null,
    };
    const kept = await evaluateLatents({ ...halves, maxRowNorm: 10 }, [batch, batch], {
      metrics: [...standardMetrics(), places] as ReturnType<typeof standardMetrics>,
    });
    expect([kept.tokens, kept.leftOut]).toEqual([8, 4]);
    expect(kept.reconstruction.fvu).toBeCloseTo(0.25, 12);
    expect(kept.table.at(-1)).toMatchObject({ label: 'Rows left out', value: 1 / 3, percent: true });
    expect(seen).toEqual([0, 0, 0, 0, -6, -6, -6, -6]);
    const all = await evaluateLatents({ ...halves, maxRowNorm: 10 }, [batch], { maxRowNorm: null });
    expect([all.tokens, all.leftOut]).toEqual([6, 0]);
    expect(all.reconstruction.fvu).not.toBeCloseTo(0.25, 3);
    await expect(evaluateLatents(halves, [batch], { maxRowNorm: 1 })).rejects.toThrow(
      'all 6 rows are longer than 1',
    );
  });
});
