import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createSae, matryoshkaStep, sparseStep, topK } from '@msae/core';
import { adamKernel } from '@msae/core/backend';
import {
  conformanceChecks,
  goldenTolerance,
  parseGolden,
  runGoldenCase,
  sparseConformanceChecks,
} from '@msae/core/testing';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { useNode } from '../src/index.ts';
import { findNativeBuild } from '../src/nativeBuild.ts';
import { createTensorflowEncoder, type TensorflowEncoder } from '../src/tensorflowEncoder.ts';

const build = findNativeBuild('cpu');
const adamAttrs = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weightDecay: 0.1 };
if (!build) it.skip('no libtensorflow here: npm test -- --native builds it', () => {});

describe.skipIf(!build)('tensorflow', () => {
  beforeAll(async () => {
    await useNode({ backend: 'tensorflow', threads: 2 });
  });

  it('shares the engine of this process', async () => {
    expect(tf.getBackend()).toBe('tensorflow');
    const description = await useNode({ backend: 'tensorflow' });
    expect(description).toMatchObject({ name: 'tensorflow', threads: 2, precision: 'float32' });
    const x = tf.tensor1d([1, 2, 3]);
    await useNode({ backend: 'cpu' });
    const y = tf.add(x, 1); // a tensor of one backend is moved to the other: one engine
    expect(Array.from(y.dataSync())).toEqual([2, 3, 4]);
    tf.dispose([x, y]);
    await useNode({ backend: 'tensorflow' });
  });

  it('cannot change the number of threads afterwards', async () => {
    await expect(useNode({ backend: 'tensorflow', threads: 1 })).rejects.toThrow(
      /already runs with 2 in this process/,
    );
  });

  for (const check of [...conformanceChecks(), ...sparseConformanceChecks()]) it(check.name, check.run);

  it('Adam in place: the float64 numbers, also after writes in between, and nothing left in libtensorflow', async () => {
    const { learningRate, beta1, beta2, epsilon, weightDecay } = adamAttrs;
    const reference = { w: [1, -2, 3], m: [0, 0, 0], v: [0, 0, 0] };
    const [w, m, v] = [reference.w, reference.m, reference.v].map((values) =>
      tf.variable(tf.tensor1d(values)),
    );
    const scale = tf.tensor1d([0.5]);
    const handles = () =>
      (tf.backend() as unknown as { binding: { getNumOfTensors(): number } }).binding.getNumOfTensors();
    let before = 0;
    for (let step = 1; step <= 6; step++) {
      const gradient = [0.1 * step, -0.2, 0.05 * step * step];
      const grad = tf.tensor1d(gradient);
      adamKernel.run({ param: w!, m: m!, v: v!, grad, scale }, { ...adamAttrs, step });
      grad.dispose();
      gradient.forEach((g, i) => {
        const { w, m, v } = reference;
        m[i] = beta1 * m[i]! + (1 - beta1) * g * 0.5;
        v[i] = beta2 * v[i]! + (1 - beta2) * (g * 0.5) ** 2;
        const update = m[i]! / (1 - beta1 ** step) / (Math.sqrt(v[i]! / (1 - beta2 ** step)) + epsilon);
        w[i] = w[i]! - learningRate * (update + weightDecay * w[i]!);
      });
      if (step === 3) {
        tf.tidy(() => w!.assign(tf.mul(w!, 2)));
        reference.w = reference.w.map((value) => 2 * value);
      }
      Array.from(w!.dataSync()).forEach((value, i) => expect(value).toBeCloseTo(reference.w[i]!, 5));
      Array.from(v!.dataSync()).forEach((value, i) => expect(value).toBeCloseTo(reference.v[i]!, 5));
      if (step === 4) before = handles();
    }
    expect(handles()).toBe(before);
    tf.dispose([w!, m!, v!, scale]);
  });

  const golden = new URL('../../core/test/fixtures/matryoshka-loss.json', import.meta.url);
  for (const [path, step] of [
    ['dense', matryoshkaStep],
    ['sparse', sparseStep],
  ] as const) {
    for (const example of parseGolden(JSON.parse(readFileSync(golden, 'utf8')), fileURLToPath(golden))) {
      if (path === 'sparse' && example.activation === 'identity') continue;
      it(`golden, ${path}: ${example.name}`, async () => {
        const { worst, leaked } = await runGoldenCase(example, (sae, x, options) => step(sae, x, options));
        expect(worst).toBeLessThanOrEqual(goldenTolerance('tensorflow'));
        expect(leaked).toBe(0);
      });
    }
  }
});

describe.skipIf(!build)('wasm with its products on libtensorflow', () => {
  beforeAll(async () => {
    const { name, device } = await useNode({ backend: 'wasm', matmul: 'tensorflow', threads: 2 });
    expect([name, tf.getBackend()]).toEqual(['wasm', 'wasm']);
    expect(device).toContain('products on libtensorflow');
  });
  for (const check of [...conformanceChecks(), ...sparseConformanceChecks()]) it(check.name, check.run);

  for (const [transposeA, transposeB] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    it(`a large product, ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}, with bias and relu`, async () => {
      const [m, k, n] = [257, 520, 511]; // above the size from which libtensorflow takes it
      const rng = createRng(8);
      const noise = (shape: [number, number]) =>
        tf.tensor2d(
          Float32Array.from({ length: shape[0] * shape[1] }, () => rng.normal()),
          shape,
        );
      const a = noise(transposeA ? [k, m] : [m, k]);
      const b = noise(transposeB ? [n, k] : [k, n]);
      const bias = tf.tensor1d(Float32Array.from({ length: n }, () => rng.normal()));
      const before = tf.memory().numTensors;
      const plain = tf.matMul(a, b, transposeA, transposeB);
      const fused = tf.fused.matMul({ a, b, transposeA, transposeB, bias, activation: 'relu' });
      const [p, f, A, B, c] = await Promise.all([plain, fused, a, b, bias].map((t) => t.data()));
      for (const [i, j] of [
        [0, 0],
        [m - 1, n - 1],
        [100, 300],
        [31, 7],
      ] as const) {
        let exact = 0;
        for (let q = 0; q < k; q++)
          exact += A![transposeA ? q * m + i : i * k + q]! * B![transposeB ? j * k + q : q * n + j]!;
        expect(Math.abs(p![i * n + j]! - exact)).toBeLessThan(2e-4);
        expect(Math.abs(f![i * n + j]! - Math.max(0, exact + c![j]!))).toBeLessThan(2e-4);
      }
      tf.dispose([plain, fused]);
      expect(tf.memory().numTensors).toBe(before);
      tf.dispose([a, b, bias]);
    });
  }
});

describe.skipIf(!build)('the encoder for other backends', () => {
  let encoder: TensorflowEncoder;
  beforeAll(async () => {
    await useNode({ backend: 'cpu' });
    encoder = await createTensorflowEncoder();
  });

  it('leaves the current backend current', () => expect(tf.getBackend()).toBe('cpu'));

  for (const [rows, dModel, nLatents, k, bias] of [
    [5, 3, 7, 2, 0],
    [1, 1, 1, 1, 0],
    [9, 6, 16, 16, 0],
    [33, 20, 1024, 8, 0], // grouped
    [17, 12, 2048, 4, -2], // grouped, short rows
    [4, 5, 512, 3, -100], // nothing active
  ] as const) {
    it(`top ${k} of ${rows}×${nLatents}, bias ${bias}`, () => {
      const rng = createRng(3);
      const noise = (length: number, shift = 0) => Float32Array.from({ length }, () => rng.normal() + shift);
      const [x, W_enc, b_enc] = [noise(rows * dModel), noise(dModel * nLatents), noise(nLatents, bias)];
      const options = { x, rows, dModel, W_enc, b_enc, nLatents };
      const { indices, values, counts } = encoder.encodeTopK({ ...options, k });
      const all = encoder.matmulBias(options);
      for (let row = 0; row < rows; row++) {
        const exact = Array.from({ length: nLatents }, (_, n) => {
          let sum = b_enc[n]!;
          for (let j = 0; j < dModel; j++) sum += x[row * dModel + j]! * W_enc[j * nLatents + n]!;
          return sum;
        });
        exact.forEach((value, n) => expect(Math.abs(all[row * nLatents + n]! - value)).toBeLessThan(1e-3));
        const top = exact
          .map((value, latent) => ({ value, latent }))
          .filter(({ value }) => value > 0)
          .sort((a, b) => b.value - a.value)
          .slice(0, k)
          .sort((a, b) => a.latent - b.latent);
        expect(counts[row]).toBe(top.length);
        const padding = Array<number>(k - top.length).fill(nLatents);
        expect(Array.from(indices.slice(row * k, row * k + k))).toEqual([
          ...top.map((t) => t.latent),
          ...padding,
        ]);
        top.forEach(({ value }, j) => expect(values[row * k + j]).toBeCloseTo(value, 3));
        expect(values.slice(row * k + top.length, row * k + k).every((value) => value === 0)).toBe(true);
      }
    });
  }

  it('agrees with an SAE of msae, from shared memory too', async () => {
    const sae = createSae({ dModel: 16, nLatents: 64, activation: topK(4), seed: 1 });
    const x = tf.randomNormal([8, 16], 0, 1, 'float32', 7);
    const shared = (values: Float32Array) => {
      const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
      copy.set(values);
      return copy;
    };
    const { metrics } = sparseStep(sae, x as tf.Tensor2D, { prefixes: { lengths: [64], weights: [1] } });
    const { counts } = encoder.encodeTopK({
      x: shared((await x.data()) as Float32Array),
      rows: 8,
      dModel: 16,
      W_enc: shared((await sae.params.W_enc.data()) as Float32Array),
      b_enc: shared((await sae.params.b_enc.data()) as Float32Array),
      nLatents: 64,
      k: 4,
    });
    const meanL0 = counts.reduce((sum, count) => sum + count, 0) / 8;
    expect((await metrics.data())[1]).toBeCloseTo(meanL0, 5);
  });

  it('checks its arguments', () => {
    const options = {
      x: new Float32Array(4),
      rows: 2,
      dModel: 2,
      W_enc: new Float32Array(6),
      b_enc: new Float32Array(3),
      nLatents: 3,
    };
    expect(() => encoder.encodeTopK({ ...options, k: 4 })).toThrow('from 1 to nLatents = 3');
    expect(() => encoder.encodeTopK({ ...options, rows: 3, k: 1 })).toThrow(
      'x: 6 values were expected, got 4',
    );
  });
});
