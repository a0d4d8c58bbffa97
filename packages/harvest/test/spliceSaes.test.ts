import { type Activation, createSae, identity, relu, type Sae, saeFromWeights, topK } from '@msae/core';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluateSplice, spliceSaes } from '../src/index.ts';
import { brownLm, documents, fixture, open } from './helpers.ts';

/** PyTorch in float64, see splice.test.ts. */
const reference = fixture<
  { documents: number[][]; clean: number } & Record<'zero' | 'half', { crossEntropy: number; kl: number }>
>('splice.json');
const docs = documents(...reference.documents);
const options = { tap: 'blocks.2.resid_post', batchSize: 2 };
const d = 128;

beforeAll(() => tf.setBackend('cpu'));

/** x / 2 by hand: latents are x and −x, decoder rows ± ½ e_i; what the weights see is `scale` times larger. */
function halving(activation: Activation, scale = 1): Sae {
  const both = activation.kind !== 'identity';
  const n = both ? 2 * d : d;
  const W_enc = new Float32Array(d * n);
  const W_dec = new Float32Array(n * d);
  for (let i = 0; i < d; i++) {
    W_enc[i * n + i] = 1;
    W_dec[i * d + i] = 0.5;
    if (!both) continue;
    W_enc[i * n + d + i] = -1;
    W_dec[(d + i) * d + i] = -0.5;
  }
  return saeFromWeights(
    { dModel: d, nLatents: n, activation },
    { W_enc, W_dec, b_enc: new Float32Array(n), b_dec: new Float32Array(d) },
    { transform: { input: [{ kind: 'scale', factor: scale }] } },
  );
}

describe('spliceSaes', () => {
  it('gives what PyTorch gets for halved activations: sparse, dense and scaled', async () => {
    const { model } = await open(brownLm);
    const saes = [halving(relu()), halving(topK(d)), halving(identity()), halving(relu(), 3)];
    const before = tf.memory().numTensors;
    const found = await spliceSaes(model, docs, saes, options);
    expect(tf.memory().numTensors).toBe(before);
    const { zero, half, clean } = reference;
    for (const { ceClean, ceReconstructed, ceRecovered, klRecovered, prefixes } of found) {
      expect(ceClean).toBeCloseTo(clean, 4);
      expect(ceReconstructed).toBeCloseTo(half.crossEntropy, 4);
      expect(ceRecovered).toBeCloseTo(
        (zero.crossEntropy - half.crossEntropy) / (zero.crossEntropy - clean),
        3,
      );
      expect(klRecovered).toBeCloseTo(1 - half.kl / zero.kl, 3);
      expect(prefixes).toEqual([{ length: expect.any(Number), ceRecovered }]);
    }
  });

  it('measures prefixes: half of the latents rebuild what is positive', async () => {
    const { model } = await open(brownLm);
    const sae = halving(relu());
    sae.prefixes = { lengths: [40, d, 2 * d], weights: [1, 1, 1] };
    const [found] = await spliceSaes(model, docs, [sae], options);
    const within = (length: number) => (x: Float32Array) =>
      x.map((value, at) => (at % d < length ? Math.max(value, 0) / 2 : 0));
    const { reconstructions } = await evaluateSplice(model, docs, {
      ...options,
      reconstructions: { 40: within(40), 128: within(d) },
    });
    expect(found!.prefixes.map(({ length }) => length)).toEqual([40, d, 2 * d]);
    expect(found!.prefixes[0]!.ceRecovered).toBeCloseTo(reconstructions[40]!.ceRecovered, 5);
    expect(found!.prefixes[1]!.ceRecovered).toBeCloseTo(reconstructions[128]!.ceRecovered, 5);
    const [chosen] = await spliceSaes(model, docs, [sae], { ...options, prefixes: [d] });
    expect(chosen!.prefixes).toEqual(found!.prefixes.slice(1));
  });

  it('says what does not fit', async () => {
    const { model } = await open(brownLm);
    const narrow = createSae({ dModel: 64, nLatents: 8 });
    await expect(spliceSaes(model, docs, [narrow], options)).rejects.toThrow(
      'tap blocks.2.resid_post is 128 wide in this model, but the SAE was made for 64',
    );
    const transcoder = createSae({ input: d, output: d, nLatents: 8 });
    await expect(spliceSaes(model, docs, [transcoder], options)).rejects.toThrow('this is a transcoder');
    await expect(spliceSaes(model, docs, [narrow], { ...options, prefix: [2] } as never)).rejects.toThrow(
      'there is no option prefix (did you mean prefixes?)',
    );
  });
});
