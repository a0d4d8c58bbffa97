/**
 * What the kernels of one sparse step cost on a backend, best of six.
 * Run: MSAE_NATIVE_DIR=.cache/native npx tsx packages/node/bench/sparseKernels.ts BACKEND [threads] [rows] [dModel] [nLatents] [k]
 * BACKEND: wasm, tensorflow, hybrid (wasm with its matrix products on libtensorflow), webgpu, cpu.
 */
import { createSae, none, topK } from '@msae/core';
import { adamKernel, encodeActiveKernel, latentGradsKernel, prefixLossKernel } from '@msae/core/backend';
import * as tf from '@tensorflow/tfjs-core';
import { type BackendName, releaseNode, useNode } from '../src/index.ts';

const [name = 'wasm', ...sizes] = process.argv.slice(2);
const [threads = 2, rows = 1024, d = 768, n = 12288, k = 32] = sizes.map(Number);
const { device } = await useNode(
  name === 'hybrid'
    ? { backend: 'wasm', matmul: 'tensorflow', threads }
    : { backend: name as BackendName, threads },
);
const { W_enc, b_enc, W_dec, b_dec } = createSae({
  dModel: d,
  nLatents: n,
  activation: topK(k),
  seed: 0,
}).params;
const x = tf.randomNormal([rows, d]) as tf.Tensor2D;
const [m, v, scale] = [tf.variable(tf.zeros([d, n])), tf.variable(tf.zeros([d, n])), tf.tensor1d([1])];
const cumulative = tf.tensor1d(Float32Array.from({ length: n + 1 }, (_, p) => Math.floor((4 * p) / n)));
const best: Record<string, number> = {};

/** Runs a kernel to its end: one value of a large output is read. */
async function timed<O extends object>(
  label: string,
  run: () => O,
  output: (out: O) => tf.Tensor,
): Promise<O> {
  const start = performance.now();
  const out = run();
  const probe = tf.tidy(() => tf.slice(tf.reshape(output(out), [-1]), 0, 1));
  await probe.data();
  best[label] = Math.min(best[label] ?? Number.POSITIVE_INFINITY, performance.now() - start);
  probe.dispose();
  return out;
}

const top = { rule: 'perRow', score: 'value', keep: k, capacity: k, cutoff: 0, margin: 0 } as const;
const lossAttrs = { reportPrefixes: [n / 4, n / 2, n], penalty: none(), lambda: 0, keepResidual: false };
for (let i = 0; i < 7; i++) {
  if (i === 1) for (const label of Object.keys(best)) delete best[label];
  const encoded = await timed(
    'encode',
    () => encodeActiveKernel.run({ x, W_enc, b_enc }, top),
    ({ values }) => values,
  );
  const { indices, values, counts } = encoded;
  const loss = await timed(
    'loss and its gradient',
    () => prefixLossKernel.run({ target: x, W_dec, b_dec, indices, values, counts, cumulative }, lossAttrs),
    ({ dW_dec }) => dW_dec,
  );
  const { dValues } = loss;
  const grads = await timed(
    'encoder gradient',
    () => latentGradsKernel.run({ x, indices, values, counts, dValues }, { nLatents: n, bandwidth: 0 }),
    ({ dW_enc }) => dW_enc,
  );
  const adam = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, step: i + 1 };
  await timed(
    'Adam of one matrix',
    () => adamKernel.run({ param: W_enc, m, v, grad: grads.dW_enc, scale }, adam),
    () => W_enc,
  );
  tf.dispose([{ ...encoded }, { ...loss }, { ...grads }]);
}

console.log(device, { threads, rows, d, n, k });
for (const [label, ms] of Object.entries(best)) console.log(`${label}: ${ms.toFixed(1)} ms`);
releaseNode();
process.exit(0);
