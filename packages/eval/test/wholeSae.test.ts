/** `evaluate` against float64 loops written here: transforms, signs, transcoders, metrics of the user's own. */
import {
  type Activation,
  absTopK,
  batchTopK,
  createSae,
  decode,
  encode,
  identity,
  jumpRelu,
  outputSite,
  relu,
  type Sae,
  topK,
} from '@msae/core';
import { backendTraits, describeBackend } from '@msae/core/backend';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type EvaluationBatch,
  evaluate,
  evaluationToJson,
  type Metric,
  reconstructionMetric,
  sparsityMetric,
  standardMetrics,
} from '../src/index.ts';

const [rows, d, n] = [120, 6, 20];
const noise = (s: number) => {
  const v = Math.sin(78.233 * s + 1) * 43758.5453;
  return 2 * (v - Math.floor(v)) - 1;
};
const data = Float32Array.from({ length: rows * d }, (_, at) => 10 * noise(at) + (at % d));

function* batches(size = 50): Generator<EvaluationBatch> {
  for (let from = 0; from < rows; from += size) {
    const to = Math.min(rows, from + size);
    yield {
      data: data.slice(from * d, to * d),
      rows: to - from,
      width: d,
      tokenIds: Int32Array.from({ length: to - from }, (_, r) => (from + r) % 7),
    };
  }
}

/** What a row keeps of its pre-activations. */
type Keep = (pre: readonly number[], sae: Sae) => boolean[];

const positive: Keep = (pre) => pre.map((p) => p > 0);
const largest =
  (k: number, size: (p: number) => number): Keep =>
  (pre) => {
    const order = pre.map((_, i) => i).sort((a, b) => size(pre[b]!) - size(pre[a]!) || a - b);
    const kept = new Set(order.slice(0, k));
    return pre.map((p, i) => kept.has(i) && size(p) > 0);
  };

/** What the weights see of a row, and what becomes of what they write. */
interface Around {
  readonly see: (x: readonly number[]) => readonly number[];
  readonly undo: (y: number, x: readonly number[]) => number;
}

const plain: Around = { see: (row) => row, undo: (y) => y };
const scaled = (s: number, t = s): Around => ({
  see: (row) => row.map((value) => s * value),
  undo: (y) => y / t,
});

/** Latents [rows][N] and outputs [rows][e] of one prefix. */
function reference(
  sae: Sae,
  keep: Keep,
  { see, undo }: Around,
  length: number = n,
): { f: number[][]; y: number[][] } {
  const { W_enc, b_enc, W_dec, b_dec } = sae.params;
  const [We, be, Wd, bd] = [W_enc, b_enc, W_dec, b_dec].map((tensor) => Float64Array.from(tensor.dataSync()));
  const e = outputSite(sae.config).width;
  const f = x.map((row) => {
    const z = see(row);
    const pre = Array.from({ length: n }, (_, i) =>
      z.reduce((sum, value, k) => sum + value * We![k * n + i]!, be![i]!),
    );
    const kept = keep(pre, sae);
    return pre.map((p, i) => (kept[i] ? p : 0));
  });
  const y = x.map((row, r) =>
    Array.from({ length: e }, (_, k) => {
      const written = f[r]!.slice(0, length).reduce(
        (sum, value, i) => sum + value * Wd![i * e + k]!,
        bd![k]!,
      );
      return undo(written, row);
    }),
  );
  return { f, y };
}

/** Σ‖target − y‖² / Σ‖target − mean‖² */
function fvu(target: number[][], y: number[][]): number {
  const mean = target[0]!.map((_, k) => target.reduce((sum, row) => sum + row[k]!, 0) / rows);
  let [error, variance] = [0, 0];
  target.forEach((row, r) => {
    row.forEach((value, k) => {
      error += (value - y[r]![k]!) ** 2;
      variance += (value - mean[k]!) ** 2;
    });
  });
  return error / variance;
}

const x = Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * d, (r + 1) * d)));

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** An SAE whose weights and biases are no special case. */
function made(activation: Activation, options: { output?: number; scale?: number } = {}): Sae {
  const { output, scale } = options;
  const sae = createSae({
    input: d,
    ...(output !== undefined && { output }),
    nLatents: n,
    activation,
    init: 'unit-norm',
    seed: 3,
  });
  sae.params.b_enc.assign(tf.tensor1d(Float32Array.from({ length: n }, (_, i) => 0.3 * noise(1000 + i))));
  sae.params.b_dec.assign(tf.tensor1d(Float32Array.from({ length: output ?? d }, (_, k) => noise(2000 + k))));
  if (scale !== undefined) {
    const step = { kind: 'scale', factor: scale } as const;
    sae.transform = { input: [step], output: output === undefined ? [step] : [] };
  }
  return sae;
}

describe('evaluate, a whole SAE', () => {
  const cases: [string, Activation, Keep][] = [
    ['relu', relu(), positive],
    ['topk', topK(4), largest(4, (p) => p)],
    ['abstopk', absTopK(4), largest(4, Math.abs)],
    ['batchtopk', batchTopK(4), (pre) => pre.map((p) => p > 0.9)],
    [
      'jumprelu',
      jumpRelu({ threshold: 0.4 }),
      (pre, sae) => {
        const threshold = sae.params.threshold!.dataSync();
        return pre.map((p, i) => p > threshold[i]!);
      },
    ],
    ['identity', identity(), (pre) => pre.map(() => true)],
  ];

  it.each(cases)(
    '%s with a normaliser: raw activations in, FVU and L0 of raw reconstructions out',
    async (_, activation, keep) => {
      const sae = made(activation, { scale: 0.13 });
      if (activation.kind === 'batchtopk') sae.inferenceThreshold = 0.9;
      const tensors = tf.memory().numTensors;
      const evaluation = await evaluate(sae, batches(), { prefixes: [0, 7, n] });
      expect(tf.memory().numTensors).toBe(tensors);
      for (const { length, fvu: found, l0 } of evaluation.prefixes) {
        const { f, y } = reference(sae, keep, scaled(0.13), length);
        expect(found).toBeCloseTo(fvu(x, y), 5);
        const active = f.map((row) => row.slice(0, length).filter((value) => value !== 0).length);
        expect(l0).toBeCloseTo(active.reduce((sum, count) => sum + count, 0) / rows, 10);
      }
      expect(evaluation.reconstruction.fvu).toBeCloseTo(evaluation.prefixes.at(-1)!.fvu, 12);
      // the directions are in units of the activations
      expect(evaluation.width).toBe(d);
      sae.dispose();
    },
  );

  it('magnitudes of a signed activation: densities, means, maxima, histograms, contexts', async () => {
    const sae = made(absTopK(4), { scale: 0.13 });
    const { f } = reference(sae, largest(4, Math.abs), scaled(0.13));
    const evaluation = await evaluate(sae, batches());
    const { sparsity, histograms, contexts } = evaluation;
    expect(f.flat().some((value) => value < 0)).toBe(true);
    expect(sparsity.l0).toBe(4);
    for (let i = 0; i < n; i++) {
      const sizes = f.map((row) => Math.abs(row[i]!)).filter((size) => size > 0);
      expect(sparsity.densities[i]).toBeCloseTo(sizes.length / rows, 12);
      expect(sparsity.maxActivation[i]).toBeCloseTo(Math.max(0, ...sizes), 5);
      const mean = sizes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizes.length);
      expect(sparsity.meanActivation[i]).toBeCloseTo(mean, 5);
      expect(histograms[i]!.counts.reduce((sum, count) => sum + count, 0)).toBe(sizes.length);
      // the strongest of either sign comes first, with its sign
      const strongest = f.map((row) => row[i]!).reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
      if (sizes.length > 0) expect(contexts[i]![0]!.activation).toBeCloseTo(strongest, 5);
    }
    sae.dispose();
  });

  it('a transcoder is measured against its target, in units of the output', async () => {
    const [e, s] = [3, 0.2];
    const sae = made(topK(4), { output: e, scale: s });
    const target = x.map((row) => [row[0]! - row[1]!, row[2]! + 1, 0.5 * row[3]!]);
    function* pairs(): Generator<EvaluationBatch> {
      yield { data, rows, width: d, target: Float32Array.from(target.flat()) };
    }
    const evaluation = await evaluate(sae, pairs());
    const { y } = reference(
      sae,
      largest(4, (p) => p),
      scaled(s, 1),
    );
    expect(evaluation.reconstruction.fvu).toBeCloseTo(fvu(target, y), 5);
    await expect(evaluate(sae, batches())).rejects.toThrow(
      /6 numbers a row to compare with, the SAE writes 3/,
    );
    sae.dispose();
  });

  it('layer norm and a skip connection: what undoes them depends on the row', async () => {
    const sae = made(topK(4));
    const bare = await evaluate(sae, batches(), { metrics: [reconstructionMetric()] });
    const skip = Float32Array.from({ length: d * d }, (_, at) => (at % (d + 1) === 0 ? 0.5 : 0));
    const withSkip: Sae = { ...sae, skip: tf.tensor2d(skip, [d, d]) };
    const { y } = reference(
      sae,
      largest(4, (p) => p),
      plain,
    );
    const found = await evaluate(withSkip, batches(), { metrics: [reconstructionMetric()] });
    expect(found.reconstruction.fvu).toBeCloseTo(
      fvu(
        x,
        y.map((row, r) => row.map((value, k) => value + 0.5 * x[r]![k]!)),
      ),
      5,
    );
    expect(bare.reconstruction.fvu).toBeCloseTo(fvu(x, y), 5);
    withSkip.skip!.dispose();
    const step = { kind: 'layer-norm', epsilon: 1e-5 } as const;
    sae.transform = { input: [step], output: [step] };
    const mean = (row: readonly number[]) => row.reduce((sum, value) => sum + value, 0) / d;
    const std = (row: readonly number[]) =>
      Math.sqrt(row.reduce((sum, value) => sum + (value - mean(row)) ** 2, 0) / (d - 1));
    const layerNorm: Around = {
      see: (row) => row.map((value) => (value - mean(row)) / (std(row) + 1e-5)),
      undo: (value, row) => value * std(row) + mean(row),
    };
    const normed = await evaluate(sae, batches(), { metrics: [reconstructionMetric()] });
    expect(normed.reconstruction.fvu).toBeCloseTo(
      fvu(
        x,
        reference(
          sae,
          largest(4, (p) => p),
          layerNorm,
        ).y,
      ),
      5,
    );
    sae.dispose();
  });
});

it('lists that a backend cannot look at in time and cuts are encoded densely', async () => {
  const cpu = backendTraits();
  describeBackend('cpu', { ...cpu, canReadSync: false });
  const wide = 9000; // lists there are 4,096 wide
  const sae = createSae({ dModel: d, nLatents: wide, activation: relu(), seed: 5 });
  try {
    const batch = { data: data.slice(0, 4 * d), rows: 4, width: d };
    const evaluation = await evaluate(sae, [batch], { metrics: [reconstructionMetric(), sparsityMetric()] });
    const f = await encode(sae, tf.tensor2d(batch.data, [4, d])).array();
    const counts = f.map((row) => row.filter((value) => value > 0).length);
    expect(Math.max(...counts)).toBeGreaterThan(4096);
    expect(evaluation.sparsity.l0).toBe(counts.reduce((sum, count) => sum + count, 0) / 4);
    const [xHat, x4] = [
      await decode(sae, tf.tensor2d(f, [4, wide])).array(),
      Array.from({ length: 4 }, (_, r) => Array.from(batch.data.subarray(r * d, (r + 1) * d))),
    ];
    const error = x4.flatMap((row, r) => row.map((value, c) => (value - xHat[r]![c]!) ** 2));
    const mse = error.reduce((sum, value) => sum + value, 0) / 4;
    expect(evaluation.reconstruction.mse / mse).toBeCloseTo(1, 6);
  } finally {
    describeBackend('cpu', cpu);
    sae.dispose();
  }
});

describe('a metric of the user’s own', () => {
  const negative: Metric<'negative', { below: number; all: number }, { share: number }> = {
    name: 'negative',
    start: () => ({ below: 0, all: 0 }),
    add(state, { active }) {
      for (const value of active.values) if (value < 0) state.below += 1;
      state.all += active.values.length;
    },
    result: ({ below, all }) => ({ share: below / all }),
    table: ({ share }) => [
      { label: 'Active below 0', value: share, percent: true, help: 'Share of firings' },
    ],
  };

  it('stands in the evaluation, its JSON and its table, with its type', async () => {
    const sae = made(absTopK(4));
    const evaluation = await evaluate(sae, batches(), { metrics: [...standardMetrics(), negative] });
    const firings = reference(sae, largest(4, Math.abs), plain).f.flat();
    const share = firings.filter((v) => v < 0).length / firings.filter((v) => v !== 0).length;
    const found: number = evaluation.negative.share;
    expect(found).toBeCloseTo(share, 12);
    const row = { metric: 'negative', label: 'Active below 0', percent: true, help: 'Share of firings' };
    expect(evaluation.table.at(-1)).toEqual({ ...row, value: found });
    const parsed = JSON.parse(evaluationToJson(evaluation)) as typeof evaluation;
    expect(parsed.negative.share).toBeCloseTo(share, 5);
    expect(parsed.table.at(-1)?.label).toBe('Active below 0');
    expect(parsed.table.find(({ label }) => label === 'FVU')?.value).toBeCloseTo(
      evaluation.reconstruction.fvu,
      4,
    );

    const alone = await evaluate(sae, batches(), { metrics: [negative] });
    expect(Object.keys(alone).sort()).toEqual([
      'leftOut',
      'nLatents',
      'negative',
      'table',
      'tokens',
      'width',
    ]);
    sae.dispose();
  });

  it('sees x, x̂ of every prefix, and the rows’ place in the stream', async () => {
    const seen: number[][] = [];
    const watch: Metric<'watch', null, null> = {
      name: 'watch',
      start: ({ nLatents, width, prefixes, decoder, bias, totalRows }) => {
        seen.push([nLatents, width, ...prefixes, decoder.rows, bias.length, totalRows ?? -1]);
        return null;
      },
      add: (_, { x: batch, rebuilt, firstRow, tokens }) => {
        seen.push([
          batch.rows,
          batch.columns,
          rebuilt.length,
          rebuilt[0]!.rows,
          firstRow,
          tokens.tokenIds![0]!,
        ]);
      },
      result: () => null,
    };
    const sae = made(topK(4));
    await evaluate(sae, batches(), { metrics: [watch], prefixes: [5], totalRows: rows });
    expect(seen).toEqual([
      [n, d, 5, n, n, d, rows],
      [50, d, 2, 50, 0, 0],
      [50, d, 2, 50, 50, 50 % 7],
      [20, d, 2, 20, 100, 100 % 7],
    ]);
    sae.dispose();
  });

  it('refuses a name twice, a name of the evaluation, options without effect, unknown ones', async () => {
    const sae = made(topK(4));
    const run = (options: object) => evaluate(sae, batches(), options);
    await expect(run({ metrics: [negative, negative] })).rejects.toThrow(/two metrics are called negative/);
    await expect(run({ metrics: [{ ...negative, name: 'tokens' }] })).rejects.toThrow(/called tokens/);
    await expect(run({ metrics: [negative], probeTokens: 5 })).rejects.toThrow(
      /probeTokens is an option of the standard metrics/,
    );
    await expect(run({ metrics: [{ name: 'x' }] })).rejects.toThrow(
      /a metric \{ name, start, add, result \}/,
    );
    await expect(run({ prefixs: [4] })).rejects.toThrow(/no option prefixs \(did you mean prefixes\?\)/);
    await expect(run({ forest: { minLifts: 2 } })).rejects.toThrow(
      /forest.*minLifts \(did you mean minLift\?\)/,
    );
    expect(() => standardMetrics({ contexts: { count: 0 } })).toThrow(
      /contexts.count: expected .* ≥ 1, got 0/,
    );
    await expect(run({ prefixes: [21] })).rejects.toMatchObject({ code: 'option' });
    await expect(evaluate(sae, [])).rejects.toMatchObject({ code: 'value' });
    sae.dispose();
  });
});
