/** The part of `pnpm golden --browser` that runs in the page. */
import type { GoldenResult } from '@msae/core/testing';
import { useWebGpu } from '@msae/web';
import * as tf from '@tensorflow/tfjs-core';
import { type GoldenJob, runOnCurrentBackend } from './goldenCases.ts';

export async function runCases(job: GoldenJob): Promise<GoldenResult[]> {
  const { backend } = job;
  if (backend === 'webgpu') await useWebGpu({ allowFallback: true });
  else if (backend === 'cpu') {
    await import('@tensorflow/tfjs-backend-cpu');
    await tf.setBackend('cpu');
  } else if (backend === 'wasm') await (await import('@msae/wasm')).useWasm();
  else throw new Error(`${backend} does not run in a browser`);
  if (tf.getBackend() !== backend) throw new Error(`the page runs on ${tf.getBackend()}, not on ${backend}`);
  return runOnCurrentBackend(job);
}
