import {
  type Activation,
  batchTopK,
  createSae,
  encode,
  encodeActive,
  jumpRelu,
  relu,
  type Sae,
  sparseStep,
  topK,
} from '@msae/core';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { profileWasm, useWasm } from '../src/index.ts';

const [d, n, rows] = [101, 2051, 67];

/** Sizes at which the 16-bit encoder is used: it must select what float32 selects and give float32 values. */
function setUp(
  activation: Activation,
  change?: (W: Float32Array, x: Float32Array) => void,
): { sae: Sae; x: tf.Tensor2D } {
  const sae = createSae({ dModel: d, nLatents: n, activation, applyBDecToInput: true, seed: 1 });
  const rng = createRng(8);
  const normals = (size: number, scale: number): Float32Array =>
    Float32Array.from({ length: size }, () => scale * rng.normal());
  const W = normals(d * n, 0.1);
  const x = normals(rows * d, 1);
  change?.(W, x);
  tf.tidy(() => {
    sae.params.W_enc.assign(tf.tensor2d(W, [d, n]));
    sae.params.b_enc.assign(
      tf.tensor1d(normals(n, 0.1).map((v) => v - (activation.kind === 'relu' ? 2.2 : 0))),
    );
    sae.params.b_dec.assign(tf.tensor1d(normals(d, 0.2)));
  });
  return { sae, x: tf.tensor2d(x, [rows, d]) };
}

/** [rows, n] from lists. */
function dense(sae: Sae, x: tf.Tensor2D): { values: Float32Array; jobs: string[] } {
  const stop = profileWasm();
  const active = encodeActive(sae, x, { training: true });
  const jobs = Object.keys(stop());
  const [indices, values, counts] = [
    active.indices.dataSync(),
    active.values.dataSync(),
    active.counts.dataSync(),
  ];
  const out = new Float32Array(rows * n);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < counts[row]!; i++) {
      const at = row * active.capacity + i;
      expect(i === 0 || indices[at]! > indices[at - 1]!).toBe(true);
      out[row * n + indices[at]!] = values[at]!;
    }
  }
  active.dispose();
  return { values: out, jobs };
}

function compare(activation: Activation, change?: Parameters<typeof setUp>[1]): string[] {
  const { sae, x } = setUp(activation, change);
  const expected = encode(sae, x, { training: true }).dataSync();
  const { values, jobs } = dense(sae, x);
  const largest = Array.from(expected).reduce((a, b) => Math.max(a, b), 0);
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(values[i]! - expected[i]!) <= 3e-5 * largest))
      throw new Error(`entry ${i}: ${values[i]} instead of ${expected[i]}`);
  }
  tf.disposeVariables();
  x.dispose();
  return jobs;
}

describe.each([1, 2])('16-bit encoder, %i threads', (threads) => {
  beforeAll(async () => {
    await useWasm({ threads });
  });

  it.each(
    [topK(16), topK(1), relu(), batchTopK(12), jumpRelu({ threshold: 2.4, bandwidth: 0.1 })].map(
      (a) => [a.kind, a] as const,
    ),
  )('%s selects what float32 selects', (_kind, activation) => {
    expect(compare(activation)).toContain('refine');
  });

  it('gives the bits of the float32 path', () => {
    const { sae, x } = setUp(topK(16));
    const listed = dense(sae, x);
    const all = { ...sae, config: { ...sae.config, activation: relu() } };
    const stop = profileWasm();
    const active = encodeActive(all, x, { capacity: n });
    expect(Object.keys(stop())).toContain('encodeGroup');
    expect(listed.jobs).toContain('refine');
    const [indices, values, counts] = [
      active.indices.dataSync(),
      active.values.dataSync(),
      active.counts.dataSync(),
    ];
    let kept = 0;
    for (let row = 0; row < rows; row++) {
      const positive = Array.from(values.subarray(row * n, row * n + counts[row]!));
      const cut = positive.sort((a, b) => b - a)[15]!;
      for (let i = 0; i < counts[row]!; i++) {
        const value = values[row * n + i]!;
        const expected = value >= cut ? value : 0;
        if (expected > 0) kept++;
        if (listed.values[row * n + indices[row * n + i]!] !== expected)
          throw new Error(`row ${row}: other bits`);
      }
    }
    expect(kept).toBe(16 * rows);
    tf.disposeVariables();
  });

  it('columns of very different lengths, a dead one, and outliers in x', () => {
    const jobs = compare(topK(16), (W, x) => {
      for (let i = 0; i < n; i++) {
        const scale = i % 7 === 0 ? 1e-12 : i % 5 === 0 ? 30 : i === 3 ? 0 : 1;
        for (let j = 0; j < d; j++) W[j * n + i]! *= scale;
      }
      for (let row = 0; row < rows; row += 2) x[row * d + (row % d)] = 500;
      x.fill(0, d, 2 * d);
    });
    expect(jobs).toContain('refine');
  });

  it('latents that are all the same: float32 decides', () => {
    const { sae, x } = setUp(topK(16), (W) => {
      for (let j = 0; j < d; j++) W.fill(W[j * n]!, j * n, (j + 1) * n);
    });
    tf.tidy(() => sae.params.b_enc.assign(tf.ones([n])));
    const { values, jobs } = dense(sae, x);
    expect(jobs).toContain('encodeGroup');
    const kept = Array.from(
      { length: rows },
      (_, row) => values.subarray(row * n, (row + 1) * n).filter((v) => v > 0).length,
    );
    expect(kept.every((count) => count === 16 || count === 0)).toBe(true);
    tf.disposeVariables();
    x.dispose();
  });

  it.each(['x', 'W_enc', 'b_enc'] as const)('NaN in %s makes the loss NaN', (where) => {
    const { sae, x } = setUp(topK(16), (W, values) => {
      if (where === 'W_enc') W[5 * n + 77] = Number.NaN;
      if (where === 'x') values[3 * d + 4] = Number.NaN;
    });
    if (where === 'b_enc') {
      tf.tidy(() => {
        const b = Array.from(sae.params.b_enc.dataSync());
        b[9] = Number.NaN;
        sae.params.b_enc.assign(tf.tensor1d(b));
      });
    }
    const step = sparseStep(sae, x, { prefixes: { lengths: [n], weights: [1] } });
    expect(step.metrics.dataSync()[0]).toBeNaN();
    tf.disposeVariables();
  });
});
