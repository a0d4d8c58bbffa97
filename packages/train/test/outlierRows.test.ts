/** Massive activations (1 % of rows at 160 × the norm) do not ruin an SAE, and are told of in numbers. */
import { createSae, reconstruct, type Sae, topK } from '@msae/core';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { memoryStorage, Trainer, type TrainerEvent, type TrainerOptions } from '../src/index.ts';
import { useBackend } from './support/backends.ts';
import { seededBatches } from './support/seededBatches.ts';

const width = 16;
const rows = 256;
const options: TrainerOptions = {
  totalSteps: 400,
  reportEvery: 50,
  learningRate: 5e-3,
  prefixes: { kind: 'full' },
};
beforeAll(() => useBackend('cpu'));

/** Batches with outliers planted at random places, all along one direction as a model's are. */
function* planted(share: number): Generator<Float32Array> {
  const rng = createRng(7);
  const direction = Float64Array.from({ length: width }, () => rng.normal());
  const length = Math.hypot(...direction);
  for (const batch of seededBatches({ seed: 1, rows, width })) {
    let mean = 0;
    for (let row = 0; row < rows; row++)
      mean += Math.hypot(...batch.subarray(row * width, (row + 1) * width)) / rows;
    for (let row = 0; row < rows; row++) {
      if (rng.next() >= share) continue;
      for (let j = 0; j < width; j++) batch[row * width + j] = (160 * mean * direction[j]!) / length;
    }
    yield batch;
  }
}

async function train(
  share: number,
  changes: Partial<TrainerOptions> = {},
): Promise<{ sae: Sae; events: TrainerEvent[] }> {
  const sae = createSae({ dModel: width, nLatents: 64, activation: topK(6), init: 'tied', seed: 2 });
  const trainer = new Trainer(sae, { ...options, ...changes });
  const events: TrainerEvent[] = [];
  for await (const event of trainer.run(planted(share))) events.push(event);
  trainer.dispose();
  return { sae, events };
}

/** FVU of ordinary rows. */
function ordinary(sae: Sae): number {
  const data = new Float32Array(20 * rows * width);
  let at = 0;
  for (const batch of seededBatches({ seed: 99, rows, width })) {
    data.set(batch, at);
    at += batch.length;
    if (at === data.length) break;
  }
  const x = tf.tensor2d(data, [20 * rows, width]);
  const fvu = tf.tidy(() => {
    const error = tf.sum(tf.square(tf.sub(x, reconstruct(sae, x))));
    return tf.div(error, tf.sum(tf.square(tf.sub(x, tf.mean(x, 0))))).dataSync()[0]!;
  });
  x.dispose();
  return fvu;
}

describe('rows that are far longer than the others', () => {
  it('cost the others nothing: FVU within .01 of training without them', async () => {
    const [clean, dirty] = [await train(0), await train(0.01)];
    const [a, b] = [ordinary(clean.sae), ordinary(dirty.sae)];
    expect(a).toBeLessThan(0.3);
    expect(Math.abs(a - b)).toBeLessThan(0.01);
    const warnings = dirty.events.filter(
      (event) => event.type === 'warning' && event.code === 'outlier-rows',
    );
    expect(warnings).toHaveLength(1);
    const { message } = warnings[0] as { message: string };
    const [, outside, times, share] =
      /^(\d+) of 256 rows .* \(the longest (\d+) times\) and carry ([\d.]+) %/.exec(message)!;
    expect(Number(outside)).toBeGreaterThan(0);
    expect(Number(times)).toBeGreaterThan(100);
    expect(Number(share)).toBeGreaterThan(90);
    const last = dirty.events.findLast((event) => event.type === 'metrics')!;
    expect((last as { parts?: { outlierRows?: { share: number } } }).parts?.outlierRows?.share).toBeCloseTo(
      0.01,
      2,
    );
    expect(dirty.sae.record.training?.details.maxRowNorm).toBeGreaterThan(0);
    expect(clean.events.filter((event) => event.type === 'warning')).toEqual([]);
    for (const { sae } of [clean, dirty]) sae.dispose();
  });

  it('make the printed FVU mean nothing where they are kept', async () => {
    const { sae, events } = await train(0.01, { outlierRows: false });
    const last = events.findLast((event) => event.type === 'metrics')!;
    expect((last as { fvu: number }).fvu).toBeLessThan(0.2 * ordinary(sae));
    sae.dispose();
  });

  it('leave no trace where there are none: the same bits with and without', async () => {
    const runs = [await train(0), await train(0, { outlierRows: false })];
    const [a, b] = await Promise.all(runs.map(({ sae }) => sae.params.W_enc.data()));
    expect(a).toEqual(b);
    for (const { sae } of runs) sae.dispose();
  });

  it('are found at the same places after a resume', async () => {
    const storage = memoryStorage();
    const source = (skip: number) => {
      const all = planted(0.01);
      for (let i = 0; i < skip; i++) all.next();
      return all;
    };
    const make = (): Trainer =>
      new Trainer(createSae({ dModel: width, nLatents: 64, activation: topK(6), init: 'tied', seed: 2 }), {
        ...options,
        totalSteps: 40,
        reportEvery: 1,
        checkpoints: { storage },
      });
    const losses = async (
      trainer: Trainer,
      from: Generator<Float32Array>,
      stop?: number,
    ): Promise<number[]> => {
      const abort = new AbortController();
      const seen: number[] = [];
      for await (const event of trainer.run(from, { signal: abort.signal })) {
        if (event.type === 'metrics') seen.push(event.loss);
        if (event.step === stop) abort.abort();
      }
      return seen;
    };
    const part = await losses(make(), source(0), 17);
    const rest = await losses(await Trainer.resume(storage), source(0));
    await Promise.all((await storage.list()).map(storage.remove));
    expect([...part, ...rest]).toEqual(await losses(make(), source(0)));
  });
});
