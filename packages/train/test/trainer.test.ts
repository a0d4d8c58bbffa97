import {
  batchTopK,
  createSae,
  jumpRelu,
  l1,
  log,
  reconstruct,
  type Sae,
  saeFromWeights,
  topK,
} from '@msae/core';
import { everyPrefix, fixedWidths, fullPrefix, truncatedPareto } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type BatchSource,
  type MetricsEvent,
  memoryStorage,
  Trainer,
  type TrainerEvent,
  type TrainerOptions,
} from '../src/index.ts';
import { useBackend } from './support/backends.ts';
import { seededBatches } from './support/seededBatches.ts';

const width = 6;
const source = (seed = 0, rows = 32): BatchSource => seededBatches({ seed, rows, width });
const small = (changes: Partial<Parameters<typeof createSae>[0]> = {}): Sae =>
  createSae({ dModel: width, nLatents: 16, penalty: l1(), seed: 1, ...changes });
const short: TrainerOptions = { totalSteps: 20, reportEvery: 5, learningRate: 1e-2 };

async function events(trainer: Trainer, from: BatchSource, signal?: AbortSignal): Promise<TrainerEvent[]> {
  const seen: TrainerEvent[] = [];
  for await (const event of trainer.run(from, signal ? { signal } : {})) seen.push(event);
  return seen;
}
const metricsOf = (all: TrainerEvent[]): MetricsEvent[] => all.filter((event) => event.type === 'metrics');

beforeAll(() => useBackend('cpu'));

describe('events', () => {
  it('are metrics at the asked rhythm and one done, with numbers that fit together', async () => {
    const sae = small();
    const trainer = new Trainer(sae, {
      ...short,
      prefixes: fixedWidths([4, 8, 16], [0.5, 1, 2]),
      penaltyCoefficient: 0.03,
      penaltyWarmupSteps: 10,
    });
    const seen = await events(trainer, source());
    const metrics = metricsOf(seen);
    expect(metrics.map((event) => event.step)).toEqual([5, 10, 15, 20]);
    expect(seen.at(-1)).toMatchObject({ type: 'done', reason: 'completed', step: 20, tokens: 640 });
    for (const event of metrics) {
      expect(event.prefixes.map((prefix) => prefix.length)).toEqual([4, 8, 16]);
      const sum = event.prefixes.reduce(
        (total, { weight, reconstruction, penalty }) =>
          total + weight * (reconstruction + event.penaltyCoefficient * penalty),
        0,
      );
      expect(event.loss).toBeCloseTo(sum, 4);
      expect(event.fvu).toBe(event.prefixes.at(-1)?.fvu);
      expect(event.gradNorm).toBeGreaterThan(0);
      expect(event.tokensPerSecond / event.stepsPerSecond).toBeCloseTo(32, 3);
    }
    expect(metrics[0]?.penaltyCoefficient).toBeCloseTo(0.015, 10);
    expect(metrics[3]?.penaltyCoefficient).toBeCloseTo(0.03, 10);
    expect(metrics[3]?.loss).toBeLessThan(metrics[0]?.loss as number);
    trainer.dispose();
    sae.dispose();
  });

  it('depend on the seed alone', async () => {
    const losses = async (seed: number): Promise<number[]> => {
      const sae = small();
      const trainer = new Trainer(sae, { ...short, seed, prefixes: truncatedPareto({ count: 4 }) });
      const seen = metricsOf(await events(trainer, source())).map((event) => event.loss);
      trainer.dispose();
      sae.dispose();
      return seen;
    };
    expect(await losses(1)).toEqual(await losses(1));
    expect(await losses(1)).not.toEqual(await losses(2));
  });

  it('let the event loop breathe', async () => {
    const sae = small();
    const trainer = new Trainer(sae, { ...short, totalSteps: 1000, yieldEveryMs: 5 });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const done = (await events(trainer, source(0, 64))).at(-1);
    clearInterval(timer);
    expect(done).toMatchObject({ reason: 'completed' });
    expect(turns).toBeGreaterThan(((done as { seconds: number }).seconds * 1000) / 40);
    trainer.dispose();
    sae.dispose();
  });
});

describe('a run', () => {
  it.each(['cpu', 'wasm'] as const)('leaves no tensor behind, on %s', async (backend) => {
    await useBackend(backend);
    try {
      const before = tf.memory().numTensors;
      const sae = small();
      const trainer = new Trainer(sae, {
        ...short,
        totalSteps: 40,
        weightAverage: { decay: 0.9 },
        deadLatents: { afterTokens: 64, refreshEvery: 4 },
        auxiliaryLoss: { perPrefix: true, k: 3 },
        resampling: { every: 8 },
        permutation: { every: 3 },
        unitNormDecoder: true,
        decoderBiasInit: { rows: 16 },
      });
      let during = 0;
      for await (const event of trainer.run(source())) {
        if (event.type !== 'metrics') continue;
        if (event.step === 10) during = tf.memory().numTensors;
        if (event.step > 10) expect(tf.memory().numTensors).toBeLessThanOrEqual(during + 1);
      }
      trainer.dispose();
      sae.dispose();
      expect(tf.memory().numTensors).toBe(before);
    } finally {
      await useBackend('cpu');
    }
  });

  it('reads back once at a report, and not at all between reports', async () => {
    const sae = small({ activation: topK(3), penalty: { kind: 'none' } });
    const trainer = new Trainer(sae, { ...short, weightAverage: { decay: 0.9 }, auxiliaryLoss: {} });
    const reads: number[] = [];
    const backend = tf.backend();
    // The cpu backend's read() goes through readSync().
    const readSync = backend.readSync.bind(backend);
    backend.readSync = (dataId) => {
      reads.push(trainer.step);
      return readSync(dataId);
    };
    try {
      const tensors = function* () {
        for (const data of source() as Iterable<Float32Array>) yield tf.tensor2d(data, [32, width]);
      };
      await events(trainer, tensors());
    } finally {
      backend.readSync = readSync;
    }
    expect(reads).toEqual([5, 10, 15, 20]);
    trainer.dispose();
    sae.dispose();
  });

  it('takes arrays, tensors, batches, sync and async, to the same numbers', async () => {
    const arrays: Float32Array[] = [];
    for (const batch of seededBatches({ seed: 4, rows: 8, width })) if (arrays.push(batch) === 20) break;
    const copies = (): Float32Array[] => arrays.map((array) => array.slice());
    const sources: Record<string, () => BatchSource> = {
      arrays: copies,
      tensors: () =>
        (function* () {
          for (const array of copies()) yield tf.tensor2d(array, [8, width]);
        })(),
      async: async function* () {
        for (const data of copies()) yield { data, rows: 8, width };
      },
      source: () => ({
        width,
        batches: async function* () {
          for (const data of copies()) yield { data, rows: 8, width };
        },
        position: () => ({}),
        seek: () => undefined,
      }),
    };
    const finals: number[] = [];
    const before = tf.memory().numTensors;
    for (const make of Object.values(sources)) {
      const sae = small();
      const trainer = new Trainer(sae, short);
      finals.push(metricsOf(await events(trainer, make())).at(-1)?.loss as number);
      trainer.dispose();
      sae.dispose();
    }
    for (const loss of finals) expect(loss / (finals[0] as number)).toBeCloseTo(1, 4);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('stops at an abort after the current step, and goes on later', async () => {
    const sae = small();
    const trainer = new Trainer(sae, { ...short, totalSteps: 1000, reportEvery: 1 });
    const abort = new AbortController();
    const seen: TrainerEvent[] = [];
    for await (const event of trainer.run(source(), { signal: abort.signal })) {
      seen.push(event);
      if (event.type === 'metrics' && event.step === 7) abort.abort();
    }
    expect(seen.at(-1)).toMatchObject({ type: 'done', reason: 'aborted', step: 7 });
    expect((await events(trainer, source())).at(-1)).toMatchObject({ reason: 'completed', step: 1000 });
    trainer.dispose();
    sae.dispose();
  });

  it('warns when the source ends early, or starts it again when told to', async () => {
    const batches = (): Float32Array[] =>
      Array.from({ length: 5 }, () => Float32Array.from({ length: 4 * width }, (_, i) => Math.sin(i)));
    const sae = small();
    const once = new Trainer(sae, short);
    const seen = await events(once, batches());
    expect(seen.at(-2)).toMatchObject({ type: 'warning', code: 'source-ended' });
    expect(seen.at(-1)).toMatchObject({ reason: 'source-ended', step: 5 });
    const again = new Trainer(sae, { ...short, repeat: true });
    expect((await events(again, batches())).at(-1)).toMatchObject({ reason: 'completed', step: 20 });
    once.dispose();
    again.dispose();
    sae.dispose();
  });
});

describe('dense and sparse paths', () => {
  const variants: Record<string, { sae: () => Sae; options: Partial<TrainerOptions> }> = {
    'relu, l1, sampled prefixes': { sae: () => small(), options: { penaltyCoefficient: 0.02 } },
    'relu, log, every prefix': {
      sae: () => small({ penalty: log() }),
      options: { penaltyCoefficient: 0.02, prefixes: everyPrefix({ count: 6 }) },
    },
    'topk, fixed widths': {
      sae: () => small({ activation: topK(3), penalty: { kind: 'none' }, applyBDecToInput: true }),
      options: { prefixes: fixedWidths([2, 8, 16]), kAnnealing: { from: 6, to: 3, steps: 10 } },
    },
    'batchtopk, decoder trained by the full prefix alone': {
      sae: () => small({ activation: batchTopK(3), penalty: { kind: 'none' } }),
      options: { decoderPrefixes: 'full' },
    },
    'jumprelu with an L0 target': {
      sae: () =>
        small({ activation: jumpRelu({ threshold: 0.2, bandwidth: 0.2 }), penalty: { kind: 'none' } }),
      options: { l0Penalty: { coefficient: 0.3, target: 3 }, prefixes: fullPrefix() },
    },
    'auxiliary loss': {
      sae: () => small(),
      options: { auxiliaryLoss: { k: 2 }, deadLatents: { afterTokens: 32, refreshEvery: 2 } },
    },
  };
  it.each(Object.keys(variants))('give the same numbers: %s', async (name) => {
    const { sae: make, options } = variants[name] as (typeof variants)[string];
    const seen: Record<string, MetricsEvent[]> = {};
    const thresholds: (number | null)[] = [];
    for (const path of ['dense', 'sparse'] as const) {
      const sae = make();
      const trainer = new Trainer(sae, { ...short, ...options, path });
      seen[path] = metricsOf(await events(trainer, source()));
      thresholds.push(sae.inferenceThreshold);
      trainer.dispose();
      sae.dispose();
    }
    seen.dense?.forEach((event, i) => {
      const other = seen.sparse?.[i] as MetricsEvent;
      expect(event.path).toBe('dense');
      expect(other.path).toBe('sparse');
      for (const key of ['loss', 'l0', 'fvu', 'gradNorm'] as const) {
        expect((event[key] as number) / (other[key] as number), key).toBeCloseTo(1, 3);
      }
      expect(event.auxLoss).toBeCloseTo(other.auxLoss, 4);
    });
    if (thresholds[0] != null) expect(thresholds[1]).toBeCloseTo(thresholds[0], 3);
  });
});

describe("the trainer's SAE", () => {
  it.each([
    ['arrays', false],
    ['arrays', true],
    ['tensors', false],
  ] as const)(
    'is whole at every event, and says what was printed: %s, b_dec on input %s',
    async (kind, applyBDecToInput) => {
      const batch = (source() as Iterable<Float32Array>)[Symbol.iterator]().next().value as Float32Array;
      const raw = batch.map((value) => 37 * value + 5);
      const sae = small({ applyBDecToInput });
      const frozen = { learningRateFactor: 0 };
      const trainer = new Trainer(sae, {
        ...short,
        prefixes: fullPrefix(),
        parameterGroups: { W_enc: frozen, b_enc: frozen, W_dec: frozen, b_dec: frozen },
      });
      const same = function* () {
        for (;;) yield kind === 'arrays' ? raw.slice() : tf.tensor2d(raw, [32, width]);
      };
      const x = tf.tensor2d(raw, [32, width]);
      for await (const event of trainer.run(same())) {
        if (event.type !== 'metrics') continue;
        expect(sae.transform.input).toEqual([{ kind: 'scale', factor: expect.any(Number) }]);
        expect(sae.transform.input[0]).toMatchObject({ kind: 'scale' });
        expect(Math.abs(fvuOf(sae, x) - event.fvu)).toBeLessThan(1e-6);
        expect(sae.record.training).toMatchObject({ architecture: 'relu', details: { steps: event.step } });
      }
      expect(sae.prefixes).toEqual({ lengths: [16], weights: [1] });
      x.dispose();
      trainer.dispose();
      sae.dispose();
    },
  );

  it('applies to raw activations with the averaged weights, too', async () => {
    const sae = small();
    const trainer = new Trainer(sae, { ...short, weightAverage: { decay: 0.5 } });
    await expect(new Trainer(sae, short).averagedSae()).rejects.toThrow(
      'train with the option weightAverage',
    );
    await events(trainer, source());
    const averaged = await trainer.averagedSae();
    expect(averaged.transform).toEqual(sae.transform);
    expect(await averaged.params.W_enc.data()).not.toEqual(await sae.params.W_enc.data());
    const x = tf.tensor2d(
      (source() as Iterable<Float32Array>)[Symbol.iterator]().next().value as Float32Array,
      [32, width],
    );
    expect(fvuOf(averaged, x)).toBeLessThan(1);
    x.dispose();
    trainer.dispose();
    averaged.dispose();
    sae.dispose();
  });

  it('may have had a transform before, which stays', async () => {
    const plain = small();
    const weights = Object.fromEntries(
      await Promise.all(
        Object.entries(plain.params).map(async ([name, param]) => [name, await param.data()]),
      ),
    );
    const mean = Float32Array.from({ length: width }, (_, i) => i);
    const sae = saeFromWeights(plain.config, weights as never, {
      transform: { input: [{ kind: 'centre', mean }] },
    });
    const storage = memoryStorage();
    const trainer = new Trainer(sae, { ...short, checkpoints: { storage } });
    await events(trainer, source());
    expect(sae.transform.input.map(({ kind }) => kind)).toEqual(['centre', 'scale']);
    const resumed = await Trainer.resume(storage, { options: { totalSteps: 25 } });
    expect(resumed.sae.transform).toEqual(sae.transform);
    await events(resumed, source());
    expect(resumed.sae.transform.input.map(({ kind }) => kind)).toEqual(['centre', 'scale']);
    trainer.dispose();
    resumed.dispose();
    plain.dispose();
    sae.dispose();
  });
});

function fvuOf(sae: Sae, x: tf.Tensor2D): number {
  return tf.tidy(() => {
    const error = tf.sum(tf.square(tf.sub(x, reconstruct(sae, x))));
    return tf.div(error, tf.sum(tf.square(tf.sub(x, tf.mean(x, 0))))).dataSync()[0]!;
  });
}
