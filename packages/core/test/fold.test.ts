import '@tensorflow/tfjs-backend-cpu';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Activation,
  absTopK,
  createSae,
  encode,
  fold,
  jumpRelu,
  reconstruct,
  relu,
  type Sae,
  saeFromWeights,
  type Transform,
  topK,
} from '../src/index.ts';
import { toBeAllClose } from '../src/testing/index.ts';

const d = 5;
const rng = createRng(1);
const noise = (size: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, () => scale * rng.normal());

/** A random orthogonal matrix by Gram–Schmidt, with its rows stretched; and its inverse. */
function whitening(): Extract<Transform[number], { kind: 'whitening' }> {
  const rows: number[][] = [];
  while (rows.length < d) {
    const row = Array.from(noise(d));
    for (const other of rows) {
      const along = row.reduce((sum, value, i) => sum + value * other[i]!, 0);
      row.forEach((_, i) => {
        row[i]! -= along * other[i]!;
      });
    }
    const norm = Math.hypot(...row);
    rows.push(row.map((value) => value / norm));
  }
  const stretch = Array.from({ length: d }, (_, i) => 0.5 + i / 3);
  return {
    kind: 'whitening',
    mean: noise(d),
    matrix: Float32Array.from(rows.flatMap((row, i) => row.map((value) => value * stretch[i]!))),
    inverse: Float32Array.from(
      { length: d * d },
      (_, at) => rows[at % d]![Math.floor(at / d)]! / stretch[at % d]!,
    ),
  };
}

const transforms: [string, Transform][] = [
  ['nothing', []],
  ['a scale', [{ kind: 'scale', factor: 3.5 }]],
  [
    'a mean and a scale',
    [
      { kind: 'centre', mean: noise(d) },
      { kind: 'scale', factor: 0.2 },
    ],
  ],
  ['whitening', [whitening()]],
  ['a scale between two whitenings', [whitening(), { kind: 'scale', factor: 0.7 }, whitening()]],
  [
    'a scale after a layer norm',
    [
      { kind: 'layer-norm', epsilon: 1e-5 },
      { kind: 'scale', factor: 2 },
    ],
  ],
];

function make(activation: Activation, applyBDecToInput: boolean, transform: Transform): Sae {
  const sae = createSae({
    dModel: d,
    nLatents: 12,
    activation,
    applyBDecToInput,
    init: 'unit-norm',
    seed: 2,
  });
  sae.params.b_enc.assign(tf.tensor1d(noise(12, 0.3)));
  sae.params.b_dec.assign(tf.tensor1d(noise(d, 0.5)));
  sae.transform = { input: transform, output: transform };
  return sae;
}

describe('fold', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });

  for (const [name, transform] of transforms) {
    for (const own of [false, true]) {
      for (const wanted of [false, true]) {
        it(`${name}: b_dec ${own ? '' : 'not '}subtracted, ${wanted ? '' : 'not '}subtracted afterwards`, async () => {
          for (const activation of [
            relu(),
            topK(3),
            absTopK(3),
            jumpRelu({ threshold: 0.2, bandwidth: 0.1 }),
          ]) {
            const sae = make(activation, own, transform);
            const folded = await fold(sae, { applyBDecToInput: wanted });
            const plain = saeFromWeights(
              { ...sae.config, applyBDecToInput: wanted },
              {
                W_enc: await folded.W_enc(),
                b_enc: await folded.b_enc(),
                W_dec: await folded.W_dec(),
                b_dec: await folded.b_dec(),
                ...(sae.params.threshold && { threshold: await folded.threshold() }),
              },
              { transform: { input: folded.rest } },
            );
            const x = tf.tensor2d(noise(9 * d), [9, d]);
            await toBeAllClose(encode(plain, x), encode(sae, x), {
              tolerance: 2e-5,
              name: `latents, ${activation.kind}`,
            });
            await toBeAllClose(reconstruct(plain, x), reconstruct(sae, x), {
              tolerance: 2e-5,
              name: activation.kind,
            });
          }
        });
      }
    }
  }

  it('decoder norms move into the latents', async () => {
    const sae = make(relu(), true, [{ kind: 'scale', factor: 4 }]);
    sae.params.W_dec.assign(tf.tensor2d(noise(12 * d), [12, d]));
    const folded = await fold(sae, { decoderNorm: true });
    const W_dec = await folded.W_dec();
    for (let i = 0; i < 12; i++) expect(Math.hypot(...W_dec.subarray(i * d, (i + 1) * d))).toBeCloseTo(1, 5);
    const plain = saeFromWeights(sae.config, {
      W_enc: await folded.W_enc(),
      b_enc: await folded.b_enc(),
      W_dec,
      b_dec: await folded.b_dec(),
    });
    const x = tf.tensor2d(noise(9 * d), [9, d]);
    await toBeAllClose(reconstruct(plain, x), reconstruct(sae, x), { tolerance: 2e-5 });
  });

  it('a transcoder folds both of its transforms', async () => {
    const sae = createSae({ input: d, output: 3, nLatents: 12, activation: topK(4), init: 'unit-norm' });
    sae.params.b_dec.assign(tf.tensor1d(noise(3)));
    sae.transform = {
      input: [
        { kind: 'centre', mean: noise(d) },
        { kind: 'scale', factor: 2 },
      ],
      output: [
        { kind: 'scale', factor: 0.3 },
        { kind: 'centre', mean: noise(3) },
      ],
    };
    const folded = await fold(sae);
    const plain = saeFromWeights(sae.config, {
      W_enc: await folded.W_enc(),
      b_enc: await folded.b_enc(),
      W_dec: await folded.W_dec(),
      b_dec: await folded.b_dec(),
    });
    const x = tf.tensor2d(noise(9 * d), [9, d]);
    await toBeAllClose(reconstruct(plain, x), reconstruct(sae, x), { tolerance: 2e-5 });
  });
});
