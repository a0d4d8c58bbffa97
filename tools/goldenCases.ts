/** Golden cases on whatever backend is current: the part that Node and the page share. */
import { matryoshkaStep, sparseStep } from '@msae/core';
import { type GoldenCase, type GoldenResult, runGoldenCase } from '@msae/core/testing';

/** What is run where. */
export interface GoldenJob {
  backend: 'cpu' | 'wasm' | 'webgpu' | 'tensorflow';
  path: 'dense' | 'sparse';
  cases: GoldenCase[];
}

/** Runs every case; the sparse path leaves identity out, which has no inactive latents. */
export async function runOnCurrentBackend({ path, cases }: GoldenJob): Promise<GoldenResult[]> {
  const step = path === 'sparse' ? sparseStep : matryoshkaStep;
  const results: GoldenResult[] = [];
  for (const golden of cases) {
    if (path === 'sparse' && golden.activation === 'identity') continue;
    results.push(await runGoldenCase(golden, (sae, x, options) => step(sae, x, { ...options })));
  }
  return results;
}
