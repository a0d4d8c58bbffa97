/** The sparse step against core's plain TypeScript kernels, at sizes that the conformance checks are too small for. */
import '@tensorflow/tfjs-backend-cpu';
import {
  type Activation,
  batchTopK,
  createSae,
  jumpRelu,
  log,
  none,
  type Penalty,
  relu,
  sparseStep,
  topK,
} from '@msae/core';
import { adamKernel, globalNormKernel } from '@msae/core/backend';
import { worstError } from '@msae/core/testing';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { useCuda } from '../src/index.ts';
import { useEmulator } from './emulator.ts';

interface Case {
  readonly name: string;
  readonly d: number;
  readonly n: number;
  readonly rows: number;
  readonly activation: Activation;
  readonly penalty?: Penalty;
  readonly decoderWeights?: readonly number[];
}

const cases: readonly Case[] = [
  { name: 'latents with many entries', d: 20, n: 40, rows: 300, activation: topK(20) },
  {
    name: 'latents with many entries, penalty, odd d',
    d: 21,
    n: 40,
    rows: 200,
    activation: relu(),
    penalty: log(),
    decoderWeights: [0, 0.5, 2],
  },
  {
    name: 'latents with many entries and thresholds',
    d: 12,
    n: 24,
    rows: 260,
    activation: jumpRelu({ threshold: 0.2, bandwidth: 0.5 }),
  },
  { name: 'lists longer than a tile', d: 36, n: 150, rows: 9, activation: topK(75) },
  { name: 'wide rows', d: 1040, n: 30, rows: 5, activation: topK(4), decoderWeights: [1, 1, 1] },
  { name: 'wide rows, odd d', d: 1027, n: 30, rows: 5, activation: topK(4), penalty: log() },
  { name: 'lists longer than are screened', d: 8, n: 700, rows: 3, activation: topK(600) },
  { name: 'batch top-k, uneven rows', d: 16, n: 200, rows: 90, activation: batchTopK(10) },
];

async function stepOn(backend: string, c: Case): Promise<Record<string, Float32Array>> {
  await tf.setBackend(backend);
  const { d, n, rows, activation, penalty = none() } = c;
  const sae = createSae({ dModel: d, nLatents: n, activation, penalty, applyBDecToInput: true, seed: 2 });
  const rng = createRng(9);
  const noise = (size: number, scale: number): Float32Array =>
    Float32Array.from({ length: size }, () => scale * rng.normal());
  tf.tidy(() => {
    sae.params.b_enc.assign(tf.tensor1d(noise(n, 0.5)));
    sae.params.b_dec.assign(tf.tensor1d(noise(d, 0.2)));
  });
  const x = tf.tensor2d(
    noise(rows * d, 1).map((v, i) => v * (1 + (Math.floor(i / d) % 5))),
    [rows, d],
  );
  const step = sparseStep(sae, x, {
    prefixes: { lengths: [3, Math.ceil(n / 2), n], weights: [1, 0.25, 2] },
    ...(c.decoderWeights && { decoderPrefixWeights: [...c.decoderWeights] }),
    penaltyCoefficient: 0.1,
    keepResidual: true,
    keepContributions: true,
  });
  const { metrics, firings, residual, contributions, grads } = step;
  const tensors = { metrics, firings, residual, contributions, ...grads } as Record<string, tf.Tensor>;
  const out = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, Float32Array.from(tensor.dataSync())]),
  );
  tf.dispose([x, Object.values(tensors)]);
  step.smallestKept?.dispose();
  sae.dispose();
  return out;
}

describe.skipIf(!useEmulator())('sparse steps of other sizes, emulated', () => {
  it.each(cases.map((c): [string, Case] => [c.name, c]))('%s', async (_name, c) => {
    await useCuda();
    const actual = await stepOn('cuda', c);
    expect(await stepOn('cuda', c)).toEqual(actual);
    const expected = await stepOn('cpu', c);
    expect(Object.keys(actual)).toEqual(Object.keys(expected));
    for (const [name, values] of Object.entries(expected))
      expect(worstError(actual[name]!, values), name).toBeLessThan(1e-5);
  });

  it('takes the norm of gradients from what their kernels have summed, until they are written again', async () => {
    await useCuda();
    const sae = createSae({ dModel: 33, nLatents: 70, activation: topK(6), penalty: log(), seed: 2 });
    const x = tf.randomNormal<tf.Rank.R2>([50, 33], 0, 1, 'float32', 4);
    const step = sparseStep(sae, x, {
      prefixes: { lengths: [9, 70], weights: [1, 2] },
      penaltyCoefficient: 0.1,
    });
    const grads = { ...step.grads } as Record<string, tf.Tensor>;
    const normOf = (tensors: Record<string, tf.Tensor>): number => {
      const { norm } = globalNormKernel.run(tensors, {});
      const [value] = norm.dataSync();
      norm.dispose();
      return value!;
    };
    const expected = (tensors: Record<string, tf.Tensor>): number =>
      Math.sqrt(
        Object.values(tensors).reduce((sum, t) => {
          for (const v of t.dataSync()) sum += v * v;
          return sum;
        }, 0),
      );
    expect(normOf(grads) / expected(grads)).toBeCloseTo(1, 6);
    const many = Object.fromEntries(Array.from({ length: 19 }, (_, i) => [`t${i}`, x]));
    expect(normOf({ ...many, ...grads }) / expected({ ...many, ...grads })).toBeCloseTo(1, 6);
    const like = (): tf.Variable => tf.tidy(() => tf.variable(tf.zeros([33, 70])));
    const [m, v, scale] = [like(), like(), tf.ones([1]) as tf.Tensor1D];
    adamKernel.run(
      { param: grads.W_enc!, m, v, grad: grads.W_enc!, scale },
      { learningRate: 0.5, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, step: 1 },
    );
    expect(normOf(grads) / expected(grads)).toBeCloseTo(1, 6);
    tf.dispose([x, m, v, scale, step.metrics, step.firings, ...Object.values(grads)]);
    sae.dispose();
  });
});
