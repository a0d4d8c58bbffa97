/** Run inside an empty project that has the packed packages: imports each one and trains a few steps on wasm. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  createSae,
  disposeStep,
  isMsaeError,
  log,
  matryoshkaStep,
  readMetrics,
  reconstruct,
  topK,
} from '@msae/core';
import { toyTree } from '@msae/data';
import { loadSae, saveSae } from '@msae/formats';
import { createRng, truncatedPareto } from '@msae/sampler';
import { Trainer } from '@msae/train';
import { useWasm } from '@msae/wasm';
import * as tf from '@tensorflow/tfjs-core';

for (const name of ['data', 'eval', 'formats', 'harvest', 'node', 'report', 'schema', 'train']) {
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
// A trainer on the toy, its SAE written and read again, and the command line over it.
const toy = toyTree({ seed: 0 });
const small = createSae({ dModel: toy.width, nLatents: 20, activation: topK(2), seed: 0 });
const prefixes = truncatedPareto({ count: 4 });
const trainer = new Trainer(small, {
  totalSteps: 100,
  batchSize: 100,
  prefixes,
  learningRate: 1e-2,
  reportEvery: 10,
});
const fvu = [];
for await (const event of trainer.run(toy)) if (event.type === 'metrics') fvu.push(event.fvu);
assert.ok(fvu.at(-1) < fvu[0] / 2, `the toy's FVU went from ${fvu[0]} to ${fvu.at(-1)}`);

await saveSae(trainer.sae, 'sae', { format: 'msae' });
const loaded = await loadSae('sae');
const raw = tf.tensor2d(toy.sample(50).x, [50, toy.width]);
const [before, after] = [reconstruct(trainer.sae, raw), reconstruct(loaded, raw)];
assert.deepEqual(await after.data(), await before.data(), 'reconstructions changed by saving and loading');
assert.throws(
  () => toyTree({ sede: 0 }),
  (error) => isMsaeError(error, 'option') && /did you mean seed\?/.test(error.message),
);

msae('convert', 'sae', 'saelens', '--to', 'saelens');
const seen = JSON.parse(msae('inspect', 'saelens', '--json'));
assert.deepEqual([seen.format, seen.input.width, seen.nLatents], ['saelens', toy.width, 20]);
process.exit(0);

/** Runs the command line; what it wrote to stdout. */
function msae(...args) {
  const { status, stdout, stderr } = spawnSync(join('node_modules', '.bin', 'msae'), args, {
    encoding: 'utf8',
  });
  assert.equal(status, 0, `msae ${args.join(' ')}: ${stderr}`);
  return stdout;
}
