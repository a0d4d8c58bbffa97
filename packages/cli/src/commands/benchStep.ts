/** What `msae bench step` measures: whole training steps on random data, as a trainer makes them. */

import {
  batchTopK,
  createSae,
  disposeStep,
  type MatryoshkaStep,
  matryoshkaStep,
  relu,
  type Sae,
  sparseStep,
  topK,
} from '@msae/core';
import { adamKernel, globalNormKernel } from '@msae/core/backend';
import { createRng, everyPrefix, fullPrefix, type PrefixScheme, truncatedPareto } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';

export interface BenchOptions {
  d: number;
  n: number;
  batch: number;
  k: number;
  /** 'every', or how many */
  prefixes: string;
  activation: 'topk' | 'relu' | 'batchtopk';
  path: 'sparse' | 'dense';
  /** relu: expected active latents a row */
  l0: number;
  steps: number;
}

export interface BenchTimes {
  /** every measured step, milliseconds */
  readonly all: number[];
  /** medians */
  readonly ms: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** processor time of a step over all threads, the caller's waiting included; steadier than `ms` on a busy machine */
  readonly cpuMs: number;
  readonly tokensPerSecond: number;
  readonly l0: number;
  readonly loss: number;
}

/** Runs the steps on the current backend. */
export async function benchSteps(options: BenchOptions, onMeasure: () => void): Promise<BenchTimes> {
  const { d, n, batch, k, steps } = options;
  const rng = createRng(1);
  const activation =
    options.activation === 'relu' ? relu() : options.activation === 'topk' ? topK(k) : batchTopK(k);
  const sae = createSae({ dModel: d, nLatents: n, activation, init: 'reference', seed: 0 });
  if (options.activation === 'relu') {
    const shift = -normalQuantile(1 - Math.min(options.l0, n / 2) / n);
    tf.tidy(() => sae.params.b_enc.assign(tf.fill([n], shift)));
  }
  const optimizer = adamOf(sae);
  const scheme = schemeOf(options.prefixes);
  const inputs = [0, 1].map(() => tf.tensor2d(normals(batch * d, rng.next.bind(rng)), [batch, d]));
  const all: number[] = [];
  const cpu: number[] = [];
  const gradients: number[] = [];
  const updates: number[] = [];
  let [loss, l0] = [0, 0];
  for (let i = -2; i < steps; i++) {
    if (i === 0) onMeasure();
    const prefixes = scheme.sample(n, rng);
    const used = process.cpuUsage();
    const start = performance.now();
    const step: MatryoshkaStep =
      options.path === 'sparse'
        ? sparseStep(sae, inputs[i & 1]!, { prefixes, maxReported: 16 })
        : matryoshkaStep(sae, inputs[i & 1]!, { prefixes });
    const middle = performance.now();
    optimizer.update(step);
    const metrics = await step.metrics.data();
    const end = performance.now();
    loss = metrics[0]!;
    l0 = metrics[1]!;
    const { user, system } = process.cpuUsage(used);
    disposeStep(step);
    if (i < 0) continue;
    cpu.push((user + system) / 1e3);
    all.push(end - start);
    gradients.push(middle - start);
    updates.push(end - middle);
  }
  optimizer.dispose();
  tf.dispose(inputs);
  sae.dispose();
  const ms = median(all);
  return {
    all,
    ms,
    gradients: median(gradients),
    optimizer: median(updates),
    cpuMs: median(cpu),
    tokensPerSecond: (batch / ms) * 1e3,
    l0,
    loss,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function schemeOf(prefixes: string): PrefixScheme {
  if (prefixes === 'every') return everyPrefix({ count: 10 });
  const count = Number(prefixes);
  if (!Number.isInteger(count) || count < 1)
    throw msaeError('option', `--prefixes: expected 'every' or a count of at least 1, got '${prefixes}'`);
  return count === 1 ? fullPrefix() : truncatedPareto({ count, reduction: 'mean' });
}

/** Clipping at a global norm of 1 and Adam through the kernel contract: no readback. */
function adamOf(sae: Sae): { update(step: MatryoshkaStep): void; dispose(): void } {
  const names = Object.keys(sae.params) as (keyof Sae['params'])[];
  const zeros = (): tf.Variable[] =>
    names.map((name) => tf.tidy(() => tf.variable(tf.zerosLike(sae.params[name]!))));
  const [m, v] = [zeros(), zeros()];
  let count = 0;
  return {
    update: (step) => {
      count++;
      tf.tidy(() => {
        const { norm } = globalNormKernel.run({ ...step.grads } as Record<string, tf.Tensor>, {});
        const scale = tf.minimum(1, tf.div(1, tf.add(norm, 1e-6))) as tf.Tensor1D;
        const attrs = {
          learningRate: 1e-4,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          weightDecay: 0,
          step: count,
        };
        names.forEach((name, i) => {
          const grad = step.grads[name]!;
          adamKernel.run({ param: sae.params[name]!, m: m[i]!, v: v[i]!, grad, scale }, attrs);
        });
      });
    },
    dispose: () => tf.dispose([...m, ...v]),
  };
}

function normals(count: number, next: () => number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++)
    out[i] = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return out;
}

/** Φ⁻¹ by bisection: called once. */
function normalQuantile(p: number): number {
  let [low, high] = [-8, 8];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (upperTail(middle) > 1 - p) low = middle;
    else high = middle;
  }
  return low;
}

/** 1 − Φ(z): Abramowitz & Stegun 26.2.17, absolute error below 7.5e-8. */
function upperTail(z: number): number {
  if (z < 0) return 1 - upperTail(-z);
  const t = 1 / (1 + 0.2316419 * z);
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
}
