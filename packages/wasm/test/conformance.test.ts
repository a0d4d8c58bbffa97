import { readFileSync } from 'node:fs';
import { sparseStep } from '@msae/core';
import { conformanceChecks, parseGolden, runGoldenCase, sparseConformanceChecks } from '@msae/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { useWasm } from '../src/index.ts';

const fixtures = new URL('../../core/test/fixtures/', import.meta.url);
const cases = ['matryoshka-loss.json', 'abstopk.json'].flatMap((name) =>
  parseGolden(JSON.parse(readFileSync(new URL(name, fixtures), 'utf8')), name),
);
const sparse = cases.filter((golden) => golden.activation !== 'identity');
const named = <T extends { name: string }>(list: readonly T[]): [string, T][] =>
  list.map((item) => [item.name, item]);

describe.each([1, 2])('wasm with %i threads', (threads) => {
  beforeAll(async () => {
    const backend = await useWasm({ threads });
    expect(backend.threads).toBe(threads);
    expect(backend.kernels).toHaveLength(6);
  });

  it.each(named(cases))('dense step, golden %s', async (_name, golden) => {
    const result = await runGoldenCase(golden);
    expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
    expect(result.leaked).toBe(0);
  });

  it.each(named(sparse))('sparse step, golden %s', async (_name, golden) => {
    const result = await runGoldenCase(golden, sparseStep);
    expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
    expect(result.leaked).toBe(0);
  });

  it.each(named(conformanceChecks()))('dense, %s', (_name, check) => check.run());
  it.each(named(sparseConformanceChecks()))('%s', (_name, check) => check.run());
});
