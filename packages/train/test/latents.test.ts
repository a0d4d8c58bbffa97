import { createSae, decode, encode, l1, type Sae } from '@msae/core';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { resolveOptions } from '../src/options.ts';
import { auxiliaryLoss } from '../src/parts/auxiliaryLoss.ts';
import { createDeadLatentTracker } from '../src/parts/deadLatents.ts';
import { createLatentSorter } from '../src/parts/permutation.ts';
import { isResamplingStep, resampleLatents } from '../src/parts/resampling.ts';
import { createSession } from '../src/run/session.ts';
import { useBackend } from './support/backends.ts';

beforeAll(() => useBackend('cpu'));

const normals = (length: number, seed: number): Float32Array => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal());
};

describe('the auxiliary loss', () => {
  const [rows, d, n] = [5, 4, 9];
  const dead = Int32Array.from([1, 4, 5, 8]);
  const options = { k: 2, coefficient: 0.5 };
  const tasks = [
    { length: 6, weight: 1 },
    { length: 9, weight: 3 },
  ];

  /** The definition written out in float64, with the choice of the strongest latents by sorting. */
  function expectedLoss(
    weights: Record<string, ArrayLike<number>>,
    x: ArrayLike<number>,
    residuals: ArrayLike<number>[],
  ): number {
    const at = (values: ArrayLike<number>, i: number): number => values[i] as number;
    let total = 0;
    tasks.forEach(({ length, weight }, t) => {
      const e = residuals[t] as ArrayLike<number>;
      const mean = Array.from({ length: d }, (_, j) => {
        let sum = 0;
        for (let r = 0; r < rows; r++) sum += at(e, r * d + j) / rows;
        return sum;
      });
      let [error, variance] = [0, 0];
      const within = [...dead].filter((latent) => latent < length);
      for (let r = 0; r < rows; r++) {
        const f = within
          .map((latent) => {
            let pre = at(weights.b_enc as ArrayLike<number>, latent);
            for (let j = 0; j < d; j++)
              pre += at(x, r * d + j) * at(weights.W_enc as ArrayLike<number>, j * n + latent);
            return { latent, f: Math.max(0, pre) };
          })
          .sort((a, b) => b.f - a.f)
          .slice(0, options.k);
        for (let j = 0; j < d; j++) {
          let reconstruction = 0;
          for (const { latent, f: value } of f) {
            reconstruction += value * at(weights.W_dec as ArrayLike<number>, latent * d + j);
          }
          error += (reconstruction - at(e, r * d + j)) ** 2;
          variance += (at(e, r * d + j) - (mean[j] as number)) ** 2;
        }
      }
      total += (options.coefficient * Math.min(within.length / options.k, 1) * weight * error) / variance / 4;
    });
    return total;
  }

  it('and its gradients are the definition and its slopes in float64', async () => {
    const sae = createSae({ dModel: d, nLatents: n, seed: 2 });
    const x = normals(rows * d, 5);
    const residuals = [normals(rows * d, 6), normals(rows * d, 7)];
    const tensors = residuals.map((values) => tf.tensor2d(values, [rows, d]));
    const input = tf.tensor2d(x, [rows, d]);
    const result = auxiliaryLoss(
      sae.params,
      input,
      tasks.map((task, t) => ({ ...task, residual: tensors[t] as tf.Tensor2D })),
      dead,
      options,
    );
    const host: Record<string, Float64Array> = {};
    for (const name of ['W_enc', 'b_enc', 'W_dec'] as const)
      host[name] = Float64Array.from(await sae.params[name].data());
    expect((await result?.loss.data())?.[0]).toBeCloseTo(expectedLoss(host, x, residuals), 5);
    for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) {
      const gradient = (await result?.[name].data()) as Float32Array;
      const values = host[name] as Float64Array;
      for (let i = 0; i < values.length; i++) {
        const original = values[i] as number;
        values[i] = original + 1e-6;
        const up = expectedLoss(host, x, residuals);
        values[i] = original - 1e-6;
        const down = expectedLoss(host, x, residuals);
        values[i] = original;
        expect(gradient[i], `${name}[${i}]`).toBeCloseTo((up - down) / 2e-6, 4);
      }
    }
    tf.dispose([input, ...tensors, ...Object.values(result ?? {})]);
    sae.dispose();
  });

  it('is nothing without a dead latent', () => {
    const sae = createSae({ dModel: d, nLatents: n });
    const x = tf.zeros([rows, d]) as tf.Tensor2D;
    expect(
      auxiliaryLoss(sae.params, x, [{ length: n, residual: x, weight: 1 }], new Int32Array(0), {}),
    ).toBeNull();
    x.dispose();
    sae.dispose();
  });
});

describe('sorting latents', () => {
  const sort = (sorter: ReturnType<typeof createLatentSorter>, contributions: number[]): number[] | null => {
    const order = sorter.observe(contributions);
    if (order !== null) sorter.permute(order);
    return order && [...order];
  };

  it('orders by contribution, and by hysteresis leaves small changes alone', () => {
    const sorter = createLatentSorter({ decay: 0, hysteresis: 0.2 });
    expect(sort(sorter, [1, 3, 2])).toEqual([1, 2, 0]);
    // Now latents 3, 2, 1; the first two change places by less than 20 %.
    expect(sort(sorter, [2.6, 2.3, 1])).toBeNull();
    expect(sort(sorter, [2, 3, 1])).toEqual([1, 0, 2]);
  });

  it('keeps the average beside its latent', () => {
    const sorter = createLatentSorter({ decay: 0.5, hysteresis: 0 });
    sort(sorter, [0, 8]);
    expect([...(sorter.state().average ?? [])]).toEqual([8, 0]);
    expect(sorter.observe([0, 3])).toBeNull();
    expect([...(sorter.state().average ?? [])]).toEqual([4, 1.5]);
  });

  it('is a permutation whatever it is shown', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.float({ min: 0, noNaN: true }), { minLength: 6, maxLength: 6 }), {
          minLength: 1,
        }),
        (looks) => {
          const sorter = createLatentSorter();
          for (const look of looks) {
            const order = sorter.observe(look);
            if (order !== null) expect([...order].sort()).toEqual([0, 1, 2, 3, 4, 5]);
          }
        },
      ),
    );
  });

  it('changes no reconstruction, and moves moments with their latents', async () => {
    const sae = createSae({ dModel: 4, nLatents: 6, penalty: l1(), seed: 1 });
    const session = createSession(sae, resolveOptions(sae.config, { totalSteps: 5 }));
    const slots = session.optimizer.slots.get('W_enc');
    slots?.m.assign(
      tf.tensor2d(
        Float32Array.from({ length: 24 }, (_, i) => i % 6),
        [4, 6],
      ),
    );
    const x = tf.tensor2d(normals(12, 3), [3, 4]);
    const reconstruct = async (): Promise<Float32Array> => {
      const y = tf.tidy(() => decode(sae, encode(sae, x)));
      const values = (await y.data()) as Float32Array;
      y.dispose();
      return values;
    };
    const before = await reconstruct();
    session.permute(Int32Array.from([5, 3, 1, 0, 2, 4]));
    (await reconstruct()).forEach((value, i) => expect(value).toBeCloseTo(before[i] as number, 5));
    expect([...((await slots?.m.data()) ?? [])].slice(0, 6)).toEqual([5, 3, 1, 0, 2, 4]);
    x.dispose();
    session.dispose();
    sae.dispose();
  });
});

describe('dead latents', () => {
  it('are those silent for long enough, to the resolution of a refresh', async () => {
    const tracker = createDeadLatentTracker(3, 20);
    const step = (fired: number[]): void => {
      const tensor = tf.tensor1d(fired, 'int32');
      tracker.add(tensor, 5);
      tensor.dispose();
    };
    step([1, 0, 0]);
    step([0, 2, 0]);
    const refresh = async (): Promise<void> => tracker.refresh((await tracker.pending()?.data()) ?? []);
    expect([...((await tracker.pending()?.data()) ?? [])]).toEqual([1, 2, 0]);
    await refresh();
    expect(tracker.pending()).toBeNull();
    expect([...tracker.dead()]).toEqual([]);
    step([1, 0, 0]);
    step([1, 0, 0]);
    await refresh();
    expect([...tracker.dead()]).toEqual([2]);
    tracker.permute(Int32Array.from([2, 1, 0]));
    expect([...tracker.dead()]).toEqual([0]);
    tracker.revive([0]);
    expect([...tracker.dead()]).toEqual([]);
    tracker.dispose();
  });
});

describe('resampling', () => {
  it('happens in its part of the run', () => {
    const steps = Array.from({ length: 101 }, (_, step) => step);
    const at = steps.filter((step) => isResamplingStep({ every: 20, from: 0.3, until: 0.8 }, step, 100));
    expect(at).toEqual([40, 60, 80]);
  });

  it('points a dead latent at the row that is explained worst', () => {
    const [d, n] = [2, 3];
    const weights = { W_enc: normals(d * n, 1), b_enc: normals(n, 2), W_dec: normals(n * d, 3) };
    const untouched = { ...weights, W_dec: weights.W_dec.slice() };
    const residual = Float32Array.from([0, 0, 30, 40, 0, 1e-3]);
    resampleLatents(
      weights,
      { x: residual, residual, width: d },
      Int32Array.of(1),
      { every: 1, decoderNorm: 2 },
      createRng(0),
    );
    expect([...weights.W_dec.slice(2, 4)]).toEqual([Math.fround(1.2), Math.fround(1.6)]);
    expect(weights.b_enc[1]).toBe(0);
    const meanNorm =
      (Math.hypot(weights.W_enc[0] as number, weights.W_enc[3] as number) +
        Math.hypot(weights.W_enc[2] as number, weights.W_enc[5] as number)) /
      2;
    expect(Math.hypot(weights.W_enc[1] as number, weights.W_enc[4] as number)).toBeCloseTo(0.2 * meanNorm, 6);
    expect(weights.W_dec.slice(0, 2)).toEqual(untouched.W_dec.slice(0, 2));
  });

  it('resets the moments of rewritten entries only', async () => {
    const sae: Sae = createSae({ dModel: 2, nLatents: 3 });
    const session = createSession(sae, resolveOptions(sae.config, { totalSteps: 5 }));
    for (const { m, v } of session.optimizer.slots.values()) {
      m.assign(tf.ones(m.shape));
      v.assign(tf.ones(v.shape));
    }
    await session.revive(Int32Array.of(2));
    const moment = async (name: 'W_enc' | 'b_enc' | 'W_dec' | 'b_dec'): Promise<number[]> => [
      ...((await session.optimizer.slots.get(name)?.v.data()) ?? []),
    ];
    expect(await moment('W_enc')).toEqual([1, 1, 0, 1, 1, 0]);
    expect(await moment('b_enc')).toEqual([1, 1, 0]);
    expect(await moment('W_dec')).toEqual([1, 1, 1, 1, 0, 0]);
    expect(await moment('b_dec')).toEqual([1, 1]);
    session.dispose();
    sae.dispose();
  });
});
