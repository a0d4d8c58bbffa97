/** The whole conformance of core on the emulated device, with the encoder in TF32 and in float32. */
import { readFileSync } from 'node:fs';
import { sparseStep } from '@msae/core';
import { conformanceChecks, parseGolden, runGoldenCase, sparseConformanceChecks } from '@msae/core/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { cudaMemory, useCuda } from '../src/index.ts';
import { useEmulator } from './emulator.ts';

const cases = ['matryoshka-loss.json', 'abstopk.json'].flatMap((name) => {
  const file = new URL(`../../core/test/fixtures/${name}`, import.meta.url);
  return parseGolden(JSON.parse(readFileSync(file, 'utf8')), name);
});
const sparse = cases.filter((golden) => golden.activation !== 'identity');
const named = <T extends { name: string }>(list: readonly T[]): [string, T][] =>
  list.map((item) => [item.name, item]);

describe.skipIf(!useEmulator()).each(['tf32', 'float32'] as const)(
  'cuda, emulated, encoder in %s',
  (matmul) => {
    beforeAll(async () => {
      const backend = await useCuda({ matmul });
      expect(backend.kernels).toHaveLength(6);
    });

    it.each(named(cases))('dense step, golden %s', async (_name, golden) => {
      const result = await runGoldenCase(golden);
      expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
      expect(result.leaked).toBe(0);
    });

    it.each(named(sparse))('sparse step, golden %s', async (_name, golden) => {
      const used = cudaMemory().usedBytes;
      const result = await runGoldenCase(golden, sparseStep);
      expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(1e-4);
      expect(result.leaked).toBe(0);
      expect(cudaMemory().usedBytes).toBe(used);
    });

    it.each(named(conformanceChecks()))('dense, %s', (_name, check) => check.run());
    it.each(named(sparseConformanceChecks()))('%s', (_name, check) => check.run());
  },
);
