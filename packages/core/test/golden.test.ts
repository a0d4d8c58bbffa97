import { readFileSync } from 'node:fs';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { conformanceChecks, parseGolden, runGoldenCase } from '../src/testing/index.ts';

const cases = ['matryoshka-loss.json', 'abstopk.json'].flatMap((name) =>
  parseGolden(JSON.parse(readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8')), name),
);

describe('dense step on cpu', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  it.each(cases.map((golden) => [golden.name, golden] as const))('golden %s', async (_name, golden) => {
    const result = await runGoldenCase(golden);
    expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
    expect(result.leaked).toBe(0);
  });

  it.each(conformanceChecks().map((check) => [check.name, check] as const))('%s', (_name, check) =>
    check.run(),
  );
});
