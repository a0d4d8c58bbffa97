import '@tensorflow/tfjs-backend-cpu';
import { createRng, everyPrefix } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { batchTopK, createSae, decode, encode, lossParts, matryoshkaStep, topK } from '../src/index.ts';
import { toBeAllClose } from '../src/testing/index.ts';

const [d, N] = [32, 100];

describe('createSae', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  it('starts as the reference does: W_enc ~ N(0, 1/d), W_dec = 0.1 · unit columns of W_enc, biases 0', async () => {
    const { params } = createSae({ dModel: d, nLatents: N, seed: 4 });
    const W_enc = await params.W_enc.data();
    const W_dec = await params.W_dec.data();
    const variance = Array.from(W_enc).reduce((sum, w) => sum + w * w, 0) / W_enc.length;
    expect(variance * d).toBeGreaterThan(0.93);
    expect(variance * d).toBeLessThan(1.07);
    for (let i = 0; i < N; i++) {
      const column = Array.from({ length: d }, (_, c) => W_enc[c * N + i]!);
      const norm = Math.hypot(...column);
      for (let c = 0; c < d; c++) expect(W_dec[i * d + c]).toBeCloseTo((0.1 * column[c]!) / norm, 6);
    }
    expect(Math.max(...(await params.b_enc.data()), ...(await params.b_dec.data()))).toBe(0);
  });

  it.each([
    ['tied', 0.1],
    ['unit-norm', 1],
  ] as const)('%s: W_enc = W_decᵀ with rows of norm %d', async (init, norm) => {
    const { params } = createSae({ dModel: d, nLatents: N, init });
    const transposed = tf.transpose(params.W_dec);
    expect(await transposed.data()).toEqual(await params.W_enc.data());
    const norms = await tf.norm(params.W_dec, 2, 1).data();
    for (const value of norms as Float32Array) expect(value).toBeCloseTo(norm, 5);
  });

  it('gives the same weights for the same seed only', async () => {
    const [a, b, c] = await Promise.all(
      [7, 7, 8].map((seed) => createSae({ dModel: d, nLatents: N, seed }).params.W_enc.data()),
    );
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });
});

describe('encode', () => {
  const rng = createRng(9);
  const x = (): tf.Tensor2D =>
    tf.tensor2d(
      Float32Array.from({ length: 50 * d }, () => rng.normal()),
      [50, d],
    );

  it('topk keeps k values of every row, and no more where they tie', async () => {
    const sae = createSae({ dModel: d, nLatents: N, activation: topK(4) });
    const counts = (await tf.sum(tf.step(encode(sae, x())), 1).array()) as number[];
    expect(counts).toEqual(counts.map(() => 4));
    sae.params.W_enc.assign(tf.zerosLike(sae.params.W_enc));
    sae.params.b_enc.assign(tf.onesLike(sae.params.b_enc));
    const ties = (await tf.sum(tf.step(encode(sae, x())), 1).array()) as number[];
    expect(ties).toEqual(ties.map(() => 4));
  });

  it('batchtopk keeps k·B values of a batch in training, and those above the threshold in inference', async () => {
    const sae = createSae({ dModel: d, nLatents: N, activation: batchTopK(4) });
    const batch = x();
    const f = encode(sae, batch, { training: true });
    expect((await tf.sum(tf.step(f)).data())[0]).toBe(200);
    const smallest = Array.from(await f.data())
      .filter((value) => value > 0)
      .reduce((a, b) => Math.min(a, b));
    sae.inferenceThreshold = smallest * 0.99999;
    await toBeAllClose(encode(sae, batch), f, { tolerance: 0 });
  });
});

describe('lossParts', () => {
  it('are the metrics of the step, and R of the full prefix is the error of decode(encode(x))', async () => {
    const sae = createSae({ dModel: d, nLatents: N });
    const rng = createRng(3);
    const x = tf.tensor2d(
      Float32Array.from({ length: 8 * d }, () => rng.normal()),
      [8, d],
    );
    const options = { prefixes: everyPrefix().sample(N, rng) };
    const parts = await lossParts(sae, x, options).data();
    expect(parts).toEqual(await matryoshkaStep(sae, x, options).metrics.data());
    const xHat = decode(sae, encode(sae, x));
    const error = (await tf.mean(tf.sum(tf.square(tf.sub(x, xHat)), 1)).data())[0]!;
    expect(parts[3 + N - 1]).toBeCloseTo(error, 4);
  });
});
