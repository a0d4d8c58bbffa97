/** What the bundled page runs: every conformance check on two threads (or one, where the page is not isolated). */
import { sparseConformanceChecks } from '@msae/core/testing';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import threaded from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url';
import * as tf from '@tensorflow/tfjs-core';
import { useWasm } from '../../src/index.ts';

async function run(): Promise<{
  threads: number;
  device: string;
  failed: string[];
  passed: number;
  product: number;
}> {
  const backend = await useWasm({
    ...(crossOriginIsolated && { threads: 2 }),
    wasmPaths: { 'tfjs-backend-wasm-simd.wasm': simd, 'tfjs-backend-wasm-threaded-simd.wasm': threaded },
  });
  const failed: string[] = [];
  let passed = 0;
  for (const check of sparseConformanceChecks()) {
    try {
      await check.run();
      passed++;
    } catch (error) {
      failed.push(`${check.name}: ${String(error)}`);
    }
  }
  const ones = tf.ones<tf.Rank.R2>([300, 300]);
  const product = tf.matMul(ones, ones).dataSync()[0]!;
  return { threads: backend.threads, device: backend.device, failed, passed, product };
}

(globalThis as { result?: unknown }).result = run().catch((error: unknown) => ({ failed: [String(error)] }));
