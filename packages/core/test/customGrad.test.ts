import { createRng, truncatedPareto } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { createSae, jumpRelu, log, matryoshkaLoss, relu } from '../src/index.ts';
import { toBeAllClose } from '../src/testing/index.ts';
import { naivePrefixLoss } from './naivePrefixLoss.ts';

const [d, N, B] = [6, 24, 9];
const prefixes = truncatedPareto({ count: 5 }).sample(N, createRng(1));

function batch(seed = 2): tf.Tensor2D {
  const rng = createRng(seed);
  return tf.tensor2d(
    Float32Array.from({ length: B * d }, () => rng.normal()),
    [B, d],
  );
}

describe('matryoshkaLoss', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  it('has the value and the gradients of one autodiff pass per prefix', async () => {
    const sae = createSae({ dModel: d, nLatents: N, activation: relu(), penalty: log(), init: 'unit-norm' });
    const x = batch();
    const ours = tf.variableGrads(
      () => matryoshkaLoss(sae, x, { prefixes, penaltyCoefficient: 0.1 }),
      Object.values(sae.params),
    );
    const { W_enc, b_enc, W_dec, b_dec } = sae.params;
    const naive = tf.grads((...[we, be, wd, bd]: tf.Tensor[]) =>
      naivePrefixLoss(
        {
          W_enc: we as tf.Tensor2D,
          b_enc: be as tf.Tensor1D,
          W_dec: wd as tf.Tensor2D,
          b_dec: bd as tf.Tensor1D,
        },
        x,
        prefixes,
        { penaltyCoefficient: 0.1 },
      ),
    )([W_enc, b_enc, W_dec, b_dec]);
    const names = ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const;
    for (const [i, name] of names.entries()) {
      await toBeAllClose(ours.grads[sae.params[name].name]!, naive[i]!, { tolerance: 1e-5, name });
    }
    const value = naivePrefixLoss(sae.params, x, prefixes, { penaltyCoefficient: 0.1 });
    await toBeAllClose(ours.value, value, { tolerance: 1e-6 });
  });

  it('composes with another loss and leaves no tensor behind', async () => {
    const sae = createSae({ dModel: d, nLatents: N });
    const x = batch();
    const optimizer = tf.train.adam(1e-2);
    const step = (): number =>
      tf.tidy(() => {
        const cost = optimizer.minimize(
          () =>
            tf.add(
              matryoshkaLoss(sae, x, { prefixes }),
              tf.mul(tf.sum(tf.square(sae.params.b_enc)), 0.1),
            ) as tf.Scalar,
          true,
          Object.values(sae.params),
        );
        return cost!.dataSync()[0]!;
      });
    const first = step();
    const before = tf.memory().numTensors;
    let last = first;
    for (let i = 0; i < 50; i++) last = step();
    expect(tf.memory().numTensors).toBe(before);
    expect(last).toBeLessThan(first * 0.6);
  });

  it('gives jumprelu thresholds their straight-through gradient', async () => {
    const [theta, h] = [0.4, 0.5];
    const sae = createSae({
      dModel: d,
      nLatents: N,
      activation: jumpRelu({ threshold: theta, bandwidth: h }),
      init: 'unit-norm',
    });
    const x = batch();
    const options = { prefixes: { lengths: [N], weights: [1] }, l0Penalty: { coefficient: 0.7, target: 3 } };
    const { grads } = tf.variableGrads(() => matryoshkaLoss(sae, x, options), Object.values(sae.params));
    // By the definition, in float64: ∂L/∂θ_i = −Σ_b 1[|pre−θ|<h/2]/h · (θ·∂L/∂f_i + ∂L/∂L0/B)
    const pre = (await tf.add(tf.matMul(x, sae.params.W_enc), sae.params.b_enc).array()) as number[][];
    const W = (await sae.params.W_dec.array()) as number[][];
    const rows = (await x.array()) as number[][];
    const f = pre.map((row) => row.map((value) => (value > theta ? value : 0)));
    const l0 = f.flat().filter((value) => value > 0).length / B;
    const slopeL0 = (2 * 0.7 * (l0 / 3 - 1)) / 3;
    const expected = Array.from({ length: N }, (_, i) => {
      let sum = 0;
      for (let b = 0; b < B; b++) {
        if (Math.abs(pre[b]![i]! - theta) >= h / 2) continue;
        let dLdf = 0;
        for (let c = 0; c < d; c++) {
          const xHat = f[b]!.reduce((total, value, n) => total + value * W[n]![c]!, 0);
          dLdf += ((2 * (xHat - rows[b]![c]!)) / B) * W[i]![c]!;
        }
        sum -= (theta * dLdf + slopeL0 / B) / h;
      }
      return sum;
    });
    expect(expected.some((value) => value !== 0)).toBe(true);
    await toBeAllClose(grads[sae.params.threshold!.name]!, expected, { tolerance: 1e-5 });
  });
});
