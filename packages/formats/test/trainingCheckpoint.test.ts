import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batchTopK, createSae, saeFromWeights } from '@msae/core';
import { inspectSae, loadSae, saveSae } from '@msae/formats';
import { fixedWidths, type PrefixScheme, truncatedPareto } from '@msae/sampler';
import { Trainer, type TrainerOptions } from '@msae/train';
import { directoryStorage } from '@msae/train/node';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { difference } from './peerFixtures.ts';

const [d, n] = [4, 12];
let root = '';
beforeEach(async () => {
  await tf.setBackend('cpu');
  root = await mkdtemp(join(tmpdir(), 'msae-training-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Endless batches of 16 rows of positive numbers. */
function* batches(): Generator<Float32Array> {
  for (let i = 0; ; i++)
    yield Float32Array.from({ length: 16 * d }, (_, j) => 5 * Math.abs(Math.sin(i * 7 + j * j)));
}

async function train(prefixes: PrefixScheme): Promise<Trainer> {
  const sae = createSae({
    dModel: d,
    nLatents: n,
    activation: batchTopK(2),
    applyBDecToInput: true,
    seed: 1,
  });
  const options: TrainerOptions = {
    totalSteps: 12,
    learningRate: 1e-2,
    prefixes,
    checkpoints: { storage: directoryStorage(root), everySteps: 6 },
  };
  const trainer = new Trainer(sae, options);
  for await (const event of trainer.run(batches())) void event;
  return trainer;
}

describe('a training checkpoint of @msae/train', () => {
  it('loads as the SAE it is at that step, with the normaliser folded', async () => {
    const trainer = await train(fixedWidths([3, 6, n]));
    const exported = await trainer.export();
    const mine = saeFromWeights(exported.config, exported.weights);
    mine.inferenceThreshold = exported.inferenceThreshold;
    await saveSae(mine, join(root, 'exported'));
    await saveSae(trainer.sae, join(root, 'scaled'), { inputScale: await trainer.inputScale() });
    const x = tf.tensor2d(batches().next().value as Float32Array, [16, d]);
    const loaded = await loadSae(join(root, 'step-0000000012'));
    expect(exported.foldedInputScale).not.toBe(1);
    // as exported by the trainer itself, and as saved in the native format with its scale
    for (const name of ['exported', 'scaled']) {
      const other = await loadSae(join(root, name));
      expect(difference(loaded.encode(x), other.encode(x))).toBeLessThan(1e-6);
      expect(difference(loaded.reconstruct(x), other.reconstruct(x))).toBeLessThan(1e-6);
    }
    expect(loaded).toMatchObject({ format: 'msae_checkpoint', architecture: 'batchtopk' });
    expect(loaded.prefixes).toEqual({ lengths: [3, 6, n], weights: [1, 1, 1] });
    expect(loaded.metadata).toEqual({ step: 12, tokens: 12 * 16 });
    expect(loaded.sae.inferenceThreshold).toBe(trainer.sae.inferenceThreshold);
  });

  it('is found by its files too, and has no prefixes where they were drawn anew at every step', async () => {
    await train(truncatedPareto({ count: 4 }));
    for (const file of ['state.json', 'weights.safetensors']) {
      const report = await inspectSae(join(root, 'step-0000000006', file));
      expect(report).toMatchObject({ format: 'msae_checkpoint', dModel: d, nLatents: n, prefixes: null });
      expect(report.tensors.map((tensor) => tensor.role).sort()).toEqual([
        'W_dec',
        'W_enc',
        'b_dec',
        'b_enc',
      ]);
    }
    await expect(loadSae(root)).rejects.toThrow(/several SAEs: step-0000000006, step-0000000012/);
  });
});
