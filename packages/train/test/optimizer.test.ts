import { readFileSync } from 'node:fs';
import { KERNEL, runKernel, type SaeGradients, saeFromWeights } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createOptimizer } from '../src/optimizer.ts';
import { useBackend } from './support/backends.ts';

type Values = Record<'W_enc' | 'b_enc' | 'W_dec' | 'b_dec', number[]>;
const fixture = JSON.parse(readFileSync(new URL('./fixtures/adamw.json', import.meta.url), 'utf8')) as {
  settings: { lr: number; betas: [number, number]; eps: number; weight_decay: number };
  max_norm: number;
  initial: Values;
  steps: { grads: Values; norm: number; params: Values }[];
};
const config = {
  dModel: 3,
  nLatents: 4,
  activation: { kind: 'relu' },
  penalty: { kind: 'none' },
  applyBDecToInput: false,
} as const;
const shapes = { W_enc: [3, 4], b_enc: [4], W_dec: [4, 3], b_dec: [3] };

describe.each(['cpu', 'wasm'] as const)('AdamW on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('takes the steps of PyTorch, clipping included, and leaks nothing', async () => {
    const sae = saeFromWeights(config, fixture.initial);
    const { lr, betas, eps, weight_decay: weightDecay } = fixture.settings;
    const optimizer = createOptimizer(sae, { beta1: betas[0], beta2: betas[1], epsilon: eps, weightDecay });
    const before = tf.memory().numTensors;
    for (const step of fixture.steps) {
      const grads = Object.fromEntries(
        Object.entries(step.grads).map(([name, values]) => [
          name,
          tf.tensor(values, shapes[name as keyof Values]),
        ]),
      ) as SaeGradients;
      const norm = optimizer.update(grads, { learningRate: lr, gradClipNorm: fixture.max_norm });
      expect((await norm?.data())?.[0]).toBeCloseTo(step.norm, 5);
      for (const [name, expected] of Object.entries(step.params)) {
        const actual = await sae.params[name as keyof Values].data();
        expected.forEach((value, i) => expect(actual[i]).toBeCloseTo(value, 5));
      }
      tf.dispose([norm as tf.Tensor, ...(Object.values(grads) as tf.Tensor[])]);
    }
    expect(tf.memory().numTensors).toBe(before);
    optimizer.dispose();
    sae.dispose();
  });

  it('gives parameter groups their own rate and decay; a rate of 0 freezes', async () => {
    const sae = saeFromWeights(config, fixture.initial);
    const optimizer = createOptimizer(
      sae,
      {},
      { b_dec: { learningRateFactor: 0 }, b_enc: { learningRateFactor: 2 } },
    );
    const ones = (): SaeGradients => ({
      W_enc: tf.ones([3, 4]),
      b_enc: tf.ones([4]),
      W_dec: tf.ones([4, 3]),
      b_dec: tf.ones([3]),
    });
    optimizer.update(ones(), { learningRate: 0.125, gradClipNorm: null });
    // The first Adam step is the learning rate times the sign of the gradient.
    const moved = async (name: keyof Values): Promise<number> =>
      (fixture.initial[name][0] as number) - ((await sae.params[name].data())[0] as number);
    expect(await moved('W_enc')).toBeCloseTo(0.125, 6);
    expect(await moved('b_enc')).toBeCloseTo(0.25, 6);
    expect(await moved('b_dec')).toBeCloseTo(0, 6);
    expect(() => createOptimizer(sae, {}, { threshold: {} })).toThrow('has no parameter "threshold"');
    expect(() => createOptimizer(sae, { beta1: 1 })).toThrow('optimizer.beta1 must lie in [0, 1), got 1');
    optimizer.dispose();
    sae.dispose();
  });
});

describe('memory beyond w, m, v and the gradient', () => {
  const peak = async (): Promise<number> => {
    const shape: [number, number] = [512, 256];
    const [param, m, v] = [0, 1, 2].map(() => tf.variable(tf.zeros(shape))) as tf.Variable[];
    const [grad, scale] = [tf.ones(shape), tf.tensor1d([0.5])];
    const attrs = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: 1 };
    const start = tf.memory().numBytes;
    const profile = await tf.profile(() => {
      runKernel(KERNEL.adam, { param, m, v, grad, scale }, attrs);
      return [];
    });
    tf.dispose([param, m, v, grad, scale] as tf.Tensor[]);
    return (profile.peakBytes - start) / (4 * shape[0] * shape[1]);
  };

  it('is nothing with the fused kernel, and two temporaries in its composition of stock ops', async () => {
    await useBackend('cpu');
    expect(await peak()).toBeLessThan(0.01);
    const fused = tf.getKernel(KERNEL.adam, 'cpu');
    tf.unregisterKernel(KERNEL.adam, 'cpu');
    try {
      expect(await peak()).toBeLessThan(2.01);
    } finally {
      if (fused) tf.registerKernel(fused);
    }
  });
});
