import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { batchTopK, createSae, reconstruct } from '@msae/core';
import { inspectSae, loadSae, saveSae } from '@msae/formats';
import { fixedWidths, type PrefixScheme, truncatedPareto } from '@msae/sampler';
import { Trainer } from '@msae/train';
import { directoryStorage } from '@msae/train/node';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';

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
  // something that was there before training, whose array lies beside the weights
  const centre = { kind: 'centre', mean: Float32Array.of(1, 2, 3, 4) } as const;
  sae.transform = { input: [centre], output: [centre] };
  const trainer = new Trainer(sae, {
    totalSteps: 12,
    learningRate: 1e-2,
    prefixes,
    checkpoints: { storage: directoryStorage(root), everySteps: 6 },
  });
  for await (const event of trainer.run(batches())) void event;
  return trainer;
}

describe('a training checkpoint of @msae/train', () => {
  it('loads as the SAE that the trainer holds, bit for bit', async () => {
    const trainer = await train(fixedWidths([3, 6, n]));
    await saveSae(trainer.sae, join(root, 'saved'));
    const x = tf.tensor2d(batches().next().value as Float32Array, [16, d]);
    const expected = reconstruct(trainer.sae, x).dataSync();
    expect(trainer.sae.transform.input.map(({ kind }) => kind)).toEqual(['centre', 'scale']);
    const loaded = await loadSae(join(root, 'step-0000000012'));
    for (const sae of [loaded, await loadSae(join(root, 'saved'))]) {
      expect(reconstruct(sae, x).dataSync()).toEqual(expected);
      expect(sae.transform).toEqual(trainer.sae.transform);
      expect(sae.prefixes).toEqual({ lengths: [3, 6, n], weights: [1, 1, 1] });
      expect(sae.inferenceThreshold).toBe(trainer.sae.inferenceThreshold);
    }
    expect(loaded.record.source).toEqual({ format: 'msae_checkpoint', architecture: 'batchtopk' });
    expect(loaded.record.metadata).toEqual({ step: 12, tokens: 12 * 16 });
    expect(loaded.record.training).toEqual(trainer.sae.record.training);
  });

  it('is found by its files too', async () => {
    await train(truncatedPareto({ count: 4 }));
    for (const file of ['state.json', 'weights.safetensors']) {
      const report = await inspectSae(join(root, 'step-0000000006', file));
      expect(report).toMatchObject({ format: 'msae_checkpoint', input: { width: d }, nLatents: n });
      expect(report.tensors.map((tensor) => tensor.role).sort()).toEqual([
        'W_dec',
        'W_enc',
        'b_dec',
        'b_enc',
        'mean',
      ]);
    }
    await expect(loadSae(root)).rejects.toThrow(/several SAEs: step-0000000006, step-0000000012/);
  });

  it('may lack the state of the whole SAE, and names a version that is too new', async () => {
    await train(fixedWidths([n]));
    const file = join(root, 'step-0000000012', 'state.json');
    const { state, ...rest } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    expect(state).toBeDefined();
    await writeFile(file, JSON.stringify(rest));
    const sae = await loadSae(file);
    expect([sae.transform.input, sae.prefixes, sae.inferenceThreshold]).toEqual([[], null, null]);
    await writeFile(file, JSON.stringify({ ...rest, version: 3 }));
    await expect(loadSae(file)).rejects.toThrow(/state.json: version: found 3, expected 1 or 2; update/);
  });
});
