/**
 * What the kernels of one sparse step cost on a backend, best of six.
 * Run: MSAE_NATIVE_DIR=.cache/native npx tsx packages/node/bench/sparseKernels.ts BACKEND [threads] [rows] [dModel] [nLatents] [k]
 * BACKEND: wasm, tensorflow, hybrid (wasm with its matrix products on libtensorflow), webgpu, cpu.
 */
import { createSae, KERNEL, runKernel, topK } from '@msae/core';
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
const x = tf.randomNormal([rows, d]);
const [m, v, scale] = [tf.variable(tf.zeros([d, n])), tf.variable(tf.zeros([d, n])), tf.tensor1d([1])];
const cumulative = tf.tensor1d(Float32Array.from({ length: n + 1 }, (_, p) => Math.floor((4 * p) / n)));
const best: Record<string, number> = {};

/** Runs a kernel to its end: one value of its first large output is read. */
async function timed(
  label: string,
  kernel: string,
  inputs: tf.NamedTensorMap,
  attrs: tf.NamedAttrMap,
  at: number,
) {
  const start = performance.now();
  const out = runKernel(kernel, inputs, attrs);
  const probe = tf.tidy(() => tf.slice(tf.reshape(out[at] ?? inputs['param']!, [-1]), 0, 1));
  await probe.data();
  best[label] = Math.min(best[label] ?? Number.POSITIVE_INFINITY, performance.now() - start);
  probe.dispose();
  return out;
}

for (let i = 0; i < 7; i++) {
  if (i === 1) for (const label of Object.keys(best)) delete best[label];
  const encodeAttrs = { mode: 'topk', keep: k, capacity: k, cutoff: 0, margin: 0 };
  const encoded = await timed('encode', KERNEL.encodeActive, { x, W_enc, b_enc }, encodeAttrs, 1);
  const [indices, values, counts] = encoded as [tf.Tensor, tf.Tensor, tf.Tensor];
  const penalty = { penalty: 'none', epsilon: 0, subtractLogEpsilon: false, lambda: 0, keepResidual: false };
  const loss = await timed(
    'loss and its gradient',
    KERNEL.weightedPrefixDecode,
    { x, W_dec, b_dec, indices, values, counts, cumulative },
    { reportPrefixes: [n / 4, n / 2, n], ...penalty },
    1,
  );
  const grads = await timed(
    'encoder gradient',
    KERNEL.latentGrads,
    { x, indices, values, counts, dValues: loss[0]! },
    { nLatents: n, bandwidth: 0 },
    0,
  );
  const adam = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, step: i + 1 };
  await timed('Adam of one matrix', KERNEL.adam, { param: W_enc, m, v, grad: grads[0]!, scale }, adam, 0);
  tf.dispose([encoded, loss, grads]);
}

console.log(device, { threads, rows, d, n, k });
for (const [label, ms] of Object.entries(best)) console.log(`${label}: ${ms.toFixed(1)} ms`);
releaseNode();
process.exit(0);
