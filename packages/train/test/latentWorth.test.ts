import { createSae, decode, encode, l1 } from '@msae/core';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Trainer } from '../src/index.ts';
import { createWorthTracker, latentWorth } from '../src/parts/latentWorth.ts';
import { isWorthStep, type ResamplingOptions, resampleLatents } from '../src/parts/resampling.ts';
import { useBackend } from './support/backends.ts';

beforeAll(() => useBackend('cpu'));

const [rows, d, n] = [7, 5, 9];
const normals = (length: number, seed: number): Float32Array => {
  const rng = createRng(seed);
  return Float32Array.from({ length }, () => rng.normal());
};

describe('the worth of a latent', () => {
  it('is the rise of the loss when it is left out', async () => {
    const sae = createSae({ dModel: d, nLatents: n, penalty: l1(), seed: 4 });
    const x = tf.tensor2d(normals(rows * d, 1), [rows, d]);
    const f = encode(sae, x);
    const loss = async (latents: tf.Tensor2D): Promise<number> =>
      (await tf.sum(tf.square(tf.sub(x, decode(sae, latents)))).data())[0] as number;
    const residual = tf.sub(x, decode(sae, f)) as tf.Tensor2D;
    const worth = await latentWorth(sae, x, residual).data();
    const whole = await loss(f);
    for (let i = 0; i < n; i++) {
      const mask = tf.tensor1d(Array.from({ length: n }, (_, j) => (j === i ? 0 : 1)));
      expect(worth[i]).toBeCloseTo((await loss(tf.mul(f, mask))) - whole, 3);
    }
  });

  it('is summed over batches; weak is what lies below a fraction of the median', () => {
    const tracker = createWorthTracker();
    expect([...tracker.weak(0.5)]).toEqual([]);
    tracker.add([1, 8, 10, -3, 6]);
    tracker.add([1, 8, 12, -1, 2]); // sums 2, 16, 22, -4, 8: median 8
    expect([...tracker.weak(0.5)]).toEqual([0, 3]);
    const copy = createWorthTracker();
    copy.restore(tracker.state());
    expect([...copy.weak(0.5)]).toEqual([0, 3]);
    copy.permute(Int32Array.from([3, 4, 0, 1, 2]));
    expect([...copy.weak(0.5)]).toEqual([0, 2]);
    tracker.reset();
    expect(tracker.state()).toBeNull();
  });

  it('is measured on the last steps before each resampling', () => {
    const options = { every: 10, until: 0.3, weak: { below: 0.2, steps: 3 } };
    const steps = Array.from({ length: 100 }, (_, i) => i + 1).filter((s) => isWorthStep(options, s, 100));
    expect(steps).toEqual([8, 9, 10, 18, 19, 20, 28, 29, 30]);
    expect(isWorthStep({ every: 10 }, 10, 100)).toBe(false);
  });

  it('asks for options that make sense', () => {
    const sae = createSae({ dModel: 2, nLatents: 4 });
    const make = (resampling: ResamplingOptions) => () => new Trainer(sae, { totalSteps: 10, resampling });
    expect(make({ every: 5, weak: { below: 1 } })).toThrow(/weak\.below/);
    expect(make({ every: 5, weak: { below: 0.1, steps: 6 } })).toThrow(/weak\.steps/);
    expect(make({ every: 5, rows: 'best' as 'largest' })).toThrow(/resampling\.rows/);
    expect(make({ every: 5, from: 0.5, until: 0.2 })).toThrow(/from 0.5, until 0.2/);
    sae.dispose();
  });
});

describe('resampling at the largest rows', () => {
  it('takes the worst explained row, then the worst of what is left', () => {
    // rows: (0 1 0) (0 5 0) (3 4 0) (0 0 2); both (0 5 0) and (3 4 0) have norm 5, the first wins and leaves (3 0 0).
    const weights = {
      W_enc: new Float32Array(3 * 3).fill(1),
      b_enc: new Float32Array(3).fill(1),
      W_dec: new Float32Array(3 * 3).fill(1),
    };
    resampleLatents(
      weights,
      {
        x: new Float32Array(12),
        residual: Float32Array.from([0, 1, 0, 0, 5, 0, 3, 4, 0, 0, 0, 2]),
        width: 3,
      },
      Int32Array.from([0, 2]),
      { every: 1, rows: 'largest', encoderScale: 1, decoderNorm: 2 },
      createRng(0),
    );
    expect([...weights.W_dec]).toEqual([0, 2, 0, 1, 1, 1, 2, 0, 0]);
    expect([...weights.b_enc]).toEqual([0, 1, 0]);
  });
});
