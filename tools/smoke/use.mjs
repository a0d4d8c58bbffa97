/** Run inside an empty project that has the packed packages: imports each one and trains a few steps on wasm. */
import assert from 'node:assert/strict';
import { createSae, disposeStep, log, matryoshkaStep, readMetrics } from '@msae/core';
import { createRng, truncatedPareto } from '@msae/sampler';
import { useWasm } from '@msae/wasm';
import * as tf from '@tensorflow/tfjs-core';

for (const name of ['data', 'eval', 'formats', 'harvest', 'node', 'report', 'train']) {
  const module = await import(`@msae/${name}`);
  assert.ok(Object.keys(module).length > 0, `@msae/${name} exports nothing`);
}
await import('@msae/core/testing');

const backend = await useWasm();
assert.equal(tf.getBackend(), 'wasm');
const rng = createRng(0);
const sae = createSae({ dModel: 16, nLatents: 64, penalty: log() });
const x = tf.tensor2d(
  Float32Array.from({ length: 32 * 16 }, () => rng.normal()),
  [32, 16],
);
const losses = [];
for (let i = 0; i < 5; i++) {
  const step = matryoshkaStep(sae, x, { prefixes: truncatedPareto({ count: 4 }).sample(64, rng) });
  losses.push((await readMetrics(step, { sae, x })).loss);
  for (const [name, grad] of Object.entries(step.grads)) {
    tf.tidy(() => sae.params[name].assign(tf.sub(sae.params[name], tf.mul(grad, 0.003))));
  }
  disposeStep(step);
}
assert.ok(losses.at(-1) < losses[0], `the loss went from ${losses[0]} to ${losses.at(-1)}`);
console.log(
  `smoke: ${backend.name} on ${backend.threads} threads, loss ${losses[0].toFixed(2)} → ${losses.at(-1).toFixed(2)}`,
);
process.exit(0);
