import { createSae, l1, topK } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { type BatchSource, memoryStorage, Trainer, type TrainerOptions } from '../src/index.ts';
import { useBackend } from './support/backends.ts';

const width = 4;
const good = (): Float32Array => Float32Array.from({ length: 8 * width }, (_, i) => Math.sin(i * i));
const options: TrainerOptions = { totalSteps: 12, reportEvery: 1 };

beforeAll(() => useBackend('cpu'));

/** Runs to the end; the error's message, and what the storage holds afterwards. */
async function failure(
  source: unknown,
  changes: Partial<TrainerOptions> = {},
): Promise<{ message: string; kept: string[] }> {
  const before = tf.memory().numTensors;
  const sae = createSae({ dModel: width, nLatents: 8, penalty: l1() });
  const storage = memoryStorage();
  const trainer = new Trainer(sae, { ...options, checkpoints: { storage, everySteps: 2 }, ...changes });
  let message = 'no error';
  try {
    for await (const _ of trainer.run(source as BatchSource));
  } catch (error) {
    message = (error as Error).message;
  }
  trainer.dispose();
  sae.dispose();
  expect(tf.memory().numTensors).toBe(before);
  return { message, kept: await storage.list() };
}

describe('a source', () => {
  const cases: [string, () => unknown, string][] = [
    ['that yields nothing', () => [], 'source: it yielded no batch at all'],
    [
      'of the wrong width',
      () => [good(), new Float32Array(7)],
      'batch 2 has 7 values, which is not a whole number of rows of width 4',
    ],
    ['of empty batches', () => [new Float32Array(0)], 'batch 1 is empty'],
    [
      'of batches that say another width',
      () => [{ data: good(), rows: 4, width: 8 }],
      "rows of width 8, but the SAE's dModel is 4",
    ],
    [
      'of tensors of the wrong shape',
      () => [tf.zeros([2, 5])],
      'float32 tensor of shape [2, 5]; expected float32 [rows, 4]',
    ],
    ['of strings', () => ['abc'], 'neither a Float32Array, nor a Tensor2D, nor an ActivationBatch'],
    ['that is no source', () => 7, 'expected an ActivationSource, or an iterable'],
    ['that is one array', () => good(), 'expected an ActivationSource, or an iterable'],
    [
      'that says another width',
      () => ({ width: 9, batches: () => [], position: () => ({}), seek: () => undefined }),
      "its rows are 9 wide, but the SAE's dModel is 4",
    ],
  ];
  it.each(cases)('%s gives one clear error', async (_name, source, expected) => {
    const given = source();
    expect((await failure(given)).message).toContain(expected);
    if (Array.isArray(given))
      tf.dispose(given.filter((item) => item instanceof tf.Tensor && !item.isDisposed));
  });

  it.each([
    ['zeros', 0, 'are all 0'],
    ['one row', 0.5, 'are all the same row'],
  ])('of %s has nothing to explain, and says so', async (_name, value, expected) => {
    const batch = new Float32Array(8 * width).fill(value);
    expect((await failure([batch, batch])).message).toContain(expected);
  });

  const endless = (bad: number, value: number): (() => Generator<Float32Array>) =>
    function* () {
      for (let i = 1; ; i++) {
        const batch = good();
        if (i === bad) batch[9] = value;
        yield batch;
      }
    };

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'with %d in batch 6 is named, and the checkpoints before it are kept',
    async (value) => {
      const { message, kept } = await failure(endless(6, value)());
      expect(message).toContain(`row 2, column 1 is ${value}`);
      expect(message).toContain('step 6');
      expect(kept).toEqual(['step-0000000002', 'step-0000000004']);
    },
  );

  it('with NaN in a tensor is named when its metrics are read', async () => {
    const tensors = function* () {
      for (const batch of endless(6, Number.NaN)()) yield tf.tensor2d(batch, [8, width]);
    };
    const { message, kept } = await failure(tensors());
    expect(message).toContain('row 2, column 1 is NaN');
    expect(kept).toEqual(['step-0000000002', 'step-0000000004']);
  });

  it('that throws midway: its own error, the checkpoints before it kept', async () => {
    const throwing = function* () {
      for (let i = 0; i < 5; i++) yield good();
      throw new Error('the disk went away');
    };
    expect(await failure(throwing())).toEqual({
      message: 'the disk went away',
      kept: ['step-0000000002', 'step-0000000004'],
    });
  });

  it('that makes training diverge: the error says so, no checkpoint of NaN is written', async () => {
    const { message, kept } = await failure(endless(0, 0)(), {
      learningRate: 1e30,
      reportEvery: 12,
      gradClipNorm: null,
    });
    expect(message).toMatch(/diverged|not finite/);
    expect(kept.length).toBeLessThanOrEqual(1);
  });
});

describe('options', () => {
  const cases: [string, Partial<TrainerOptions> & Record<string, unknown>, string][] = [
    [
      'a target above N',
      { sparsityController: { kind: 'pi', targetL0: 9 } },
      'targetL0 is 9, but the SAE has only 8 latents',
    ],
    [
      'an unknown option',
      { learningrate: 1 },
      'there is no option learningrate (did you mean learningRate?)',
    ],
    ['no steps', { totalSteps: 0 }, 'totalSteps: expected a whole number ≥ 1, got 0'],
    ['a negative rate', { learningRate: -1 }, 'learningRate: expected a number > 0, got -1'],
    ['phases out of order', { phases: [{ from: 0.5 }, { from: 0.2 }] }, 'phases[1].from is 0.2'],
    ['resampling without counting', { resampling: { every: 5 }, deadLatents: false }, 'leave deadLatents on'],
    [
      'k annealing of relu',
      { kAnnealing: { from: 2, to: 1, steps: 5 } },
      'needs an activation that fixes L0 (topk, batchtopk), got relu',
    ],
    ['an L0 penalty of relu', { l0Penalty: { coefficient: 1 } }, 'only jumprelu has'],
    [
      'two ways to set λ',
      { sparsityController: { kind: 'pi', targetL0: 2 }, penaltyCoefficient: 1 },
      'beside a sparsityController',
    ],
    ['a clip of 0', { gradClipNorm: 0 }, 'gradClipNorm: expected a number > 0, got 0'],
    ['a decay of 1', { normalizer: { decay: 1 } }, 'normalizer.decay: expected a number ≥ 0 and < 1, got 1'],
  ];
  it.each(cases)('%s: one clear error', (_name, changes, expected) => {
    const sae = createSae({ dModel: width, nLatents: 8, penalty: l1() });
    const before = tf.memory().numTensors;
    expect(() => new Trainer(sae, { ...options, ...changes })).toThrow(expected);
    expect(tf.memory().numTensors).toBe(before);
    sae.dispose();
  });

  it('a controller for topk, or without a penalty', () => {
    const controller: TrainerOptions = { ...options, sparsityController: { kind: 'pi', targetL0: 2 } };
    const topk = createSae({ dModel: width, nLatents: 8, activation: topK(2) });
    expect(() => new Trainer(topk, controller)).toThrow('topk fixes L0 at k = 2');
    const plain = createSae({ dModel: width, nLatents: 8 });
    expect(() => new Trainer(plain, controller)).toThrow('has no penalty to control');
    topk.dispose();
    plain.dispose();
  });
});
