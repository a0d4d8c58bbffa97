/** The part of `pnpm golden --browser` that runs in the page. */
import { matryoshkaStep, sparseStep } from '@msae/core';
import { type GoldenResult, runGoldenCase } from '@msae/core/testing';
import { registerWebGpu } from '@msae/web';
import * as tf from '@tensorflow/tfjs-core';
import type { GoldenJob } from './golden.ts';

export async function runCases({ backend, path, cases }: GoldenJob): Promise<GoldenResult[]> {
  if (backend === 'webgpu') await registerWebGpu(navigator.gpu, { allowFallback: true });
  else if (backend === 'cpu') {
    await import('@tensorflow/tfjs-backend-cpu');
    await tf.setBackend('cpu');
  } else if (backend === 'wasm') await (await import('@msae/wasm')).useWasm();
  else throw new Error(`${backend} does not run in a browser`);
  if (tf.getBackend() !== backend) throw new Error(`the page runs on ${tf.getBackend()}, not on ${backend}`);
  const results: GoldenResult[] = [];
  for (const golden of cases) {
    if (path === 'sparse' && golden.activation === 'identity') continue;
    const step = path === 'sparse' ? sparseStep : matryoshkaStep;
    results.push(await runGoldenCase(golden, (sae, x, options) => step(sae, x, { ...options })));
  }
  return results;
}
