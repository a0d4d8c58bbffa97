import { readFileSync } from 'node:fs';
import { type SaeGradients, saeFromWeights } from '@msae/core';
import { type AdamInputs, adamKernel } from '@msae/core/backend';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createOptimizer } from '../src/run/optimizer.ts';
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
    optimizer.dispose();
    sae.dispose();
  });
});

describe('memory beyond w, m, v and the gradient', () => {
  /** How much more the buffers of the cpu backend hold at most during `run` than after `setUp`. (tf.memory() counts shared ones twice.) */
  const peakBytes = <T>(setUp: () => T, run: (made: T) => void): number => {
    const backend = tf.backend() as unknown as {
      write(values: Float32Array, shape: number[], dtype: 'float32'): object;
      disposeData(dataId: object, force?: boolean): boolean;
    };
    const { write, disposeData } = backend;
    const sizes = new WeakMap<object, number>();
    let [live, most] = [0, 0];
    backend.write = (values, shape, dtype) => {
      const dataId = write.call(backend, values, shape, dtype);
      sizes.set(dataId, 4 * shape.reduce((product, size) => product * size, 1));
      live += sizes.get(dataId) ?? 0;
      most = Math.max(most, live);
      return dataId;
    };
    backend.disposeData = (dataId, force) => {
      const gone = disposeData.call(backend, dataId, force);
      if (gone) live -= sizes.get(dataId) ?? 0;
      return gone;
    };
    try {
      const made = setUp();
      const before = live;
      most = live;
      run(made);
      return most - before;
    } finally {
      Object.assign(backend, { write, disposeData });
    }
  };
  const peak = (run: typeof adamKernel.run): number => {
    const shape: [number, number] = [512, 256];
    const full = (value: number): tf.Tensor => tf.tidy(() => tf.mul(tf.ones(shape), value));
    const variable = (): tf.Variable => tf.tidy(() => tf.variable(full(0.5)));
    const attrs = { learningRate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: 1 };
    const inputs = {} as AdamInputs;
    const bytes = peakBytes(
      () =>
        Object.assign(inputs, {
          param: variable(),
          m: variable(),
          v: variable(),
          grad: full(1),
          scale: tf.tensor1d([0.5]),
        }),
      (made) => void run(made, attrs),
    );
    tf.dispose(Object.values(inputs));
    return bytes / (4 * shape[0] * shape[1]);
  };

  it('is nothing with the fused kernel, and less than twice the parameter in its composition of stock ops', async () => {
    await useBackend('cpu');
    expect(adamKernel.isOwn()).toBe(true);
    expect(peak(adamKernel.run)).toBe(0);
    expect(peak(adamKernel.composed)).toBeLessThan(1.7);
  });

  it('does not change the numbers: the composition in blocks agrees with the fused kernel', async () => {
    await useBackend('cpu');
    const shape: [number, number] = [300, 250];
    const rng = createRng(4);
    const values = [0, 1, 2, 3].map((i) =>
      Float32Array.from({ length: 75_000 }, () => (i === 2 ? rng.next() : rng.normal())),
    );
    const update = async (run: typeof adamKernel.run): Promise<Float32Array[]> => {
      const [param, m, v] = values.slice(0, 3).map((x) => tf.variable(tf.tensor(x.slice(), shape))) as [
        tf.Variable,
        tf.Variable,
        tf.Variable,
      ];
      const [grad, scale] = [tf.tensor(values[3] as Float32Array, shape), tf.tensor1d([0.5])];
      const attrs = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-4, weightDecay: 0.01, step: 3 };
      run({ param, m, v, grad, scale }, attrs);
      const out = await Promise.all(
        [param, m, v].map(async (x) => Float32Array.from(await (x as tf.Variable).data())),
      );
      tf.dispose([param, m, v, grad, scale] as tf.Tensor[]);
      return out;
    };
    const fused = await update(adamKernel.run);
    const composed = await update(adamKernel.composed);
    composed.forEach((array, i) => {
      const worst = array.reduce((most, x, j) => Math.max(most, Math.abs(x - (fused[i]?.[j] as number))), 0);
      expect(worst).toBeLessThan(2e-6);
    });
  });
});
