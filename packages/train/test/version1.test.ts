/**
 * Checkpoints of version 1 (the last release before SAEs were whole) still open and go on to the same bits. The fixtures were
 * written by that release at step 17 of 40, with the losses and weights it came to on the cpu backend.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { truncatedPareto } from '@msae/sampler';
import type * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ResumeOptions, Trainer } from '../src/index.ts';
import { directoryStorage } from '../src/node/index.ts';
import { useBackend } from './support/backends.ts';
import { seededBatches } from './support/seededBatches.ts';

interface Then {
  readonly losses: number[];
  readonly inferenceThreshold: number | null;
  readonly inputScale: number;
  readonly params: Record<string, string>;
}

let directory = '';
beforeAll(() => useBackend('cpu'));
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'msae-v1-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function storageOf(variant: string): ReturnType<typeof directoryStorage> {
  cpSync(fileURLToPath(new URL(`./fixtures/v1-${variant}`, import.meta.url)), directory, { recursive: true });
  rmSync(join(directory, 'then.json'));
  return directoryStorage(directory);
}

describe('a checkpoint of version 1', () => {
  const prefixes = truncatedPareto({ count: 4 });
  const cases: [string, ResumeOptions][] = [
    ['batchtopk', { options: { prefixes } }],
    ['jumprelu', {}],
  ];
  it.each(cases)('goes on to the same bits: %s', async (variant, options) => {
    const trainer = await Trainer.resume(storageOf(variant), options);
    const then = JSON.parse(
      readFileSync(new URL(`./fixtures/v1-${variant}/then.json`, import.meta.url), 'utf8'),
    ) as Then;
    expect(trainer.step).toBe(17);
    const losses: number[] = [];
    const warnings: string[] = [];
    for await (const event of trainer.run(seededBatches({ seed: 2, rows: 16, width: 6 }))) {
      if (event.type === 'metrics') losses.push(event.loss);
      // resampling warns too, which is no news
      if (event.type === 'warning' && event.code !== 'dead-latents') warnings.push(event.message);
    }
    // the fixture's run was aborted after step 17, so its source stands there
    expect(losses).toEqual(then.losses);
    expect(warnings).toEqual([]);
    const { params, inferenceThreshold, transform } = trainer.sae;
    for (const [name, bits] of Object.entries(then.params)) {
      const values = await (params as unknown as Record<string, tf.Variable>)[name]!.data();
      expect(Buffer.from(Float32Array.from(values).buffer).toString('base64'), name).toBe(bits);
    }
    expect(inferenceThreshold).toBe(then.inferenceThreshold);
    expect(transform.input).toEqual([{ kind: 'scale', factor: then.inputScale }]);
    trainer.dispose();
  });

  it('needs the prefixes that it cannot tell, and names other ones', async () => {
    const storage = storageOf('batchtopk');
    await expect(Trainer.resume(storage)).rejects.toThrow(
      'a checkpoint of version 1 does not say how prefixes are drawn',
    );
    const other = await Trainer.resume(storage, { options: { prefixes: { kind: 'full' }, totalSteps: 18 } });
    const messages: string[] = [];
    for await (const event of other.run(seededBatches({ seed: 2, rows: 16, width: 6 })))
      if (event.type === 'warning' && event.code === 'options-changed') messages.push(event.message);
    expect(messages).toEqual([expect.stringContaining('prefixes, totalSteps')]);
    other.dispose();
  });
});
