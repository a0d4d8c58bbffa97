import { readFileSync } from 'node:fs';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { sparseStep } from '../../src/index.ts';
import { parseGolden, runGoldenCase, sparseConformanceChecks } from '../../src/testing/index.ts';

const cases = ['matryoshka-loss.json', 'abstopk.json'].flatMap((name) =>
  parseGolden(JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')), name),
);
const sparse = cases.filter((golden) => golden.activation !== 'identity');

describe('sparse step on cpu', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  it.each(sparse.map((golden) => [golden.name, golden] as const))('golden %s', async (_name, golden) => {
    const result = await runGoldenCase(golden, sparseStep);
    expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
    expect(result.leaked).toBe(0);
  });

  it.each(sparseConformanceChecks().map((check) => [check.name, check] as const))('%s', (_name, check) =>
    check.run(),
  );
});
