import {
  type Activation,
  absTopK,
  batchTopK,
  createSae,
  jumpRelu,
  l1,
  log,
  none,
  type Penalty,
  reconstruct,
  relu,
  topK,
} from '@msae/core';
import { type PrefixScheme, truncatedPareto } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type MetricsEvent,
  memoryStorage,
  Trainer,
  type TrainerOptions,
  type TrainingPart,
} from '../src/index.ts';
import { useBackend } from './support/backends.ts';
import { seededBatches } from './support/seededBatches.ts';

const width = 6;
const source = () => seededBatches({ seed: 2, rows: 16, width });
const options: TrainerOptions = {
  totalSteps: 30,
  reportEvery: 1,
  learningRate: 1e-2,
  prefixes: truncatedPareto({ count: 3 }),
};
beforeAll(() => useBackend('cpu'));

/** Adds noise from the run's stream to the input, keeps the L0's average, and holds a tensor besides. */
function noisy(size: number): TrainingPart {
  return {
    name: 'noisy',
    options: { size },
    start(run) {
      let average = 0;
      let steps = tf.tensor1d([0]);
      return {
        input({ rows, data }) {
          return { rows, data: Float32Array.from(data!, (x) => x + size * run.rng.normal()) };
        },
        plan: (plan) => {
          plan.readMetrics = true;
          plan.learningRate /= 1 + average;
        },
        updated() {
          const next = tf.add(steps, 1) as tf.Tensor1D;
          steps.dispose();
          steps = next;
        },
        read: ({ report }) => ({ steps: report ? steps : null }),
        observe({ numbers, values }) {
          average = 0.9 * average + 0.1 * numbers!.l0;
          expect(values.steps?.[0]).toBe(run.step);
        },
        metrics: () => ({ own: { average } }),
        transform: () => [{ kind: 'scale', factor: 1 }],
        save: () => ({ json: average, tensors: { steps } }),
        async restore(saved) {
          average = saved.json as number;
          steps.dispose();
          steps = tf.tensor1d(await saved.float32('steps', [1]));
        },
        dispose: () => steps.dispose(),
      };
    },
  };
}

async function metricsOf(trainer: Trainer, stopAt?: number): Promise<MetricsEvent[]> {
  const abort = new AbortController();
  const seen: MetricsEvent[] = [];
  for await (const event of trainer.run(source(), { signal: abort.signal })) {
    if (event.type === 'metrics') seen.push(event);
    if (event.step === stopAt) abort.abort();
  }
  return seen;
}
const bare = (events: MetricsEvent[]): object[] =>
  events.map(({ tokensPerSecond: _, stepsPerSecond: __, ...event }) => event);

describe("a part of one's own", () => {
  it('is called at every point of a step, reports, and goes on bit for bit after a resume', async () => {
    const before = tf.memory().numTensors;
    const make = (changes: Partial<TrainerOptions> = {}): Trainer =>
      new Trainer(createSae({ dModel: width, nLatents: 12, penalty: l1() }), {
        ...options,
        parts: [noisy(0.1)],
        ...changes,
      });
    const whole = make();
    const expected = await metricsOf(whole);
    expect(expected.at(-1)?.parts?.noisy?.average).toBeGreaterThan(0);
    expect(whole.sae.transform.input.map(({ kind }) => kind)).toEqual(['scale', 'scale']);
    const storage = memoryStorage();
    const first = make({ checkpoints: { storage } });
    const part = await metricsOf(first, 11);
    await expect(Trainer.resume(storage)).rejects.toThrow('parts of its own (noisy)');
    const second = await Trainer.resume(storage, { options: { parts: [noisy(0.1)] } });
    expect(bare([...part, ...(await metricsOf(second))])).toEqual(bare(expected));
    for (const trainer of [whole, first, second]) trainer.dispose();
    for (const { sae } of [whole, first, second]) sae.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is named when its options have changed, and refused under a name that is taken', async () => {
    const storage = memoryStorage();
    const sae = createSae({ dModel: width, nLatents: 12 });
    const first = new Trainer(sae, {
      ...options,
      totalSteps: 3,
      parts: [noisy(0.1)],
      checkpoints: { storage },
    });
    await metricsOf(first);
    const second = await Trainer.resume(storage, { options: { totalSteps: 4, parts: [noisy(0.2)] } });
    const messages: string[] = [];
    for await (const event of second.run(source()))
      if (event.type === 'warning') messages.push(event.message);
    expect(messages).toEqual(['the run is resumed with other options than before: parts, totalSteps']);
    const twice = { ...options, parts: [{ ...noisy(1), name: 'normalizer' }] };
    expect(() => new Trainer(sae, twice)).toThrow('there are two parts called normalizer');
    expect(() => new Trainer(sae, { ...options, parts: [{ name: 'a part' } as never] })).toThrow(
      'a function `start`',
    );
    for (const trainer of [first, second]) trainer.dispose();
    sae.dispose();
  });
});

describe('a checkpoint alone', () => {
  it('does not know a scheme of one’s own, and says so', async () => {
    const storage = memoryStorage();
    const sae = createSae({ dModel: width, nLatents: 12 });
    const own: PrefixScheme = {
      kind: 'odd',
      sample: (N) => ({ lengths: [1, N], weights: [1, 1] }),
    };
    const first = new Trainer(sae, { ...options, totalSteps: 3, prefixes: own, checkpoints: { storage } });
    await metricsOf(first);
    await expect(Trainer.resume(storage)).rejects.toThrow('prefixes of kind "odd" are not among the sampler');
    const second = await Trainer.resume(storage, { options: { prefixes: own } });
    expect(second.step).toBe(3);
    expect(second.sae.prefixes).toEqual({ lengths: [1, 12], weights: [1, 1] });
    for (const trainer of [first, second]) trainer.dispose();
    sae.dispose();
  });
});

describe('every activation, normaliser and penalty', () => {
  const activations: Activation[] = [
    relu(),
    topK(3),
    absTopK(3),
    batchTopK(3),
    jumpRelu(),
    { kind: 'identity' },
  ];
  const penalties: Penalty[] = [none(), l1(), log()];
  const cases = activations.flatMap((activation) =>
    penalties.flatMap((penalty) =>
      [{}, { start: 2 }, false as const].map((normalizer) => [activation, penalty, normalizer] as const),
    ),
  );
  it.each(cases)(
    'train to an SAE of raw activations: %o, %o, normaliser %o',
    async (activation, penalty, normalizer) => {
      const sae = createSae({ dModel: width, nLatents: 12, activation, penalty });
      const trainer = new Trainer(sae, { ...options, normalizer, totalSteps: 10, penaltyCoefficient: 0.01 });
      const [last] = (await metricsOf(trainer)).slice(-1);
      expect(sae.transform.input.map(({ kind }) => kind)).toEqual(normalizer === false ? [] : ['scale']);
      const x = tf.tensor2d([...source()[Symbol.iterator]().next().value!], [16, width]);
      const fvu = tf.tidy(() => {
        const error = tf.sum(tf.square(tf.sub(x, reconstruct(sae, x))));
        return tf.div(error, tf.sum(tf.square(tf.sub(x, tf.mean(x, 0))))).dataSync()[0]!;
      });
      // another batch, ten steps on: near what was printed, not orders away
      expect(fvu).toBeLessThan(2 * last!.fvu + 0.1);
      x.dispose();
      trainer.dispose();
      sae.dispose();
    },
  );
});
