/** The native format: whatever an SAE is, saving and loading it gives the same reconstructions, bit for bit. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Activation,
  activationKinds,
  activationTraits,
  checkActivation,
  encode,
  type Penalty,
  penaltyKinds,
  reconstruct,
  type Sae,
  saeFromWeights,
  type TransformStep,
  topK,
} from '@msae/core';
import { inspectSae, loadSae, saeFiles, saveSae } from '@msae/formats';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { difference } from './peerFixtures.ts';

const [d, n, rows] = [5, 12, 7];
let root = '';
beforeAll(async () => {
  await tf.setBackend('cpu');
  root = await mkdtemp(join(tmpdir(), 'msae-native-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let made = 0;
const rng = createRng(5);
const normals = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => rng.normal() * 0.6);

const matrix = normals(d * d);
for (let i = 0; i < d; i++) matrix[i * d + i]! += 2;
const mean = normals(d);
const scale = { kind: 'scale', factor: 0.3700000001 } as const;
const centre = { kind: 'centre', mean } as const;
const transforms: Record<string, TransformStep[]> = {
  none: [],
  scale: [scale],
  'centre and scale': [centre, scale],
  'layer norm': [{ kind: 'layer-norm', epsilon: 1e-5 }],
  'constant norm': [{ kind: 'constant-norm' }],
  // any inverse will do: undoing is part of what has to be the same
  whitening: [{ kind: 'whitening', mean, matrix, inverse: matrix.map((value) => value / 5) }],
};

function activationOf(kind: Activation['kind']): Activation {
  const given = (kind.endsWith('topk') ? { kind, k: 3 } : { kind }) as Activation;
  return checkActivation(given, n);
}

function randomSae(
  activation: Activation,
  penalty: Penalty,
  steps: readonly TransformStep[],
  more: Parameters<typeof saeFromWeights>[2] = {},
): Sae {
  const traits = activationTraits(activation);
  return saeFromWeights(
    { dModel: d, nLatents: n, activation, penalty, applyBDecToInput: made++ % 2 === 0 },
    {
      W_enc: normals(d * n),
      b_enc: normals(n),
      W_dec: normals(n * d),
      b_dec: normals(d),
      ...(traits.learnsThreshold && { threshold: normals(n).map(Math.abs) }),
    },
    {
      transform: { input: steps },
      ...(traits.needsThreshold && { inferenceThreshold: 0.1 + 1 / 3 }),
      ...more,
    },
  );
}

const bits = (tensor: tf.Tensor): Uint32Array =>
  new Uint32Array((tensor.dataSync() as Float32Array).slice().buffer);

const product = activationKinds.flatMap((activation) =>
  Object.keys(transforms).flatMap((transform) =>
    penaltyKinds.map((penalty) => [activation, transform, penalty] as const),
  ),
);

describe('saveSae → loadSae → reconstruct', () => {
  it.each(product)(
    '%s with %s and penalty %s is the same bit for bit',
    async (kind, transform, penaltyKind) => {
      const penalty = { kind: penaltyKind } as Penalty;
      const sae = randomSae(activationOf(kind), penalty, transforms[transform]!);
      const directory = join(root, 'product');
      await saveSae(sae, directory);
      const loaded = await loadSae(directory);
      const x = tf.tensor2d(normals(rows * d), [rows, d]);
      const outputs = [
        reconstruct(loaded, x),
        reconstruct(sae, x),
        encode(loaded, x),
        encode(sae, x),
      ] as const;
      expect(bits(outputs[0])).toEqual(bits(outputs[1]));
      expect(bits(outputs[2])).toEqual(bits(outputs[3]));
      expect(outputs[0].dataSync().every(Number.isFinite)).toBe(true);
      expect(loaded.config).toEqual(sae.config);
      expect(loaded.transform).toEqual(sae.transform);
      tf.dispose([x, ...outputs]);
      sae.dispose();
      loaded.dispose();
    },
  );

  it('keeps every field: skip, prefixes, threshold, record', async () => {
    const record = {
      training: { architecture: 'topk', details: { steps: 7 } },
      metadata: { model_name: 'toy', nested: { list: [1, 'two', null] } },
      source: { format: 'saelens', architecture: 'gated' },
      warnings: ['beware'],
    };
    const prefixes = { lengths: [3, 7, n], weights: [2, 1, 0.5] };
    const sae = randomSae(topK(2), { kind: 'none' }, [centre, scale], {
      skip: normals(d * d),
      prefixes,
      record,
    });
    const directory = join(root, 'fields');
    await saveSae(sae, directory, { metadata: { layer: 3 } });
    const loaded = await loadSae(directory);
    expect(loaded.record).toEqual({ ...record, metadata: { ...record.metadata, layer: 3 } });
    expect(loaded.prefixes).toEqual(prefixes);
    expect(bits(loaded.skip!)).toEqual(bits(sae.skip!));
    const x = tf.tensor2d(normals(rows * d), [rows, d]);
    expect(bits(reconstruct(loaded, x))).toEqual(bits(reconstruct(sae, x)));
    // an SAE made here is from its own file
    const plain = randomSae(topK(2), { kind: 'none' }, []);
    await saveSae(plain, directory);
    expect((await loadSae(directory)).record.source).toEqual({ format: 'msae', architecture: 'topk' });
  });

  it('holds a transcoder with sites of its own', async () => {
    const [e, read, write] = [3, { width: d, name: 'mlp_in' }, { width: 3, name: 'mlp_out' }];
    const sae = saeFromWeights(
      { input: read, output: write, nLatents: n, activation: topK(3) },
      { W_enc: normals(d * n), b_enc: normals(n), W_dec: normals(n * e), b_dec: normals(e) },
      {
        transform: {
          input: [{ kind: 'layer-norm', epsilon: 1e-5 }],
          output: [{ kind: 'centre', mean: normals(e) }],
        },
        skip: normals(d * e),
      },
    );
    const directory = join(root, 'transcoder');
    await saveSae(sae, directory);
    const loaded = await loadSae(directory);
    const x = tf.tensor2d(normals(rows * d), [rows, d]);
    expect(reconstruct(loaded, x).shape).toEqual([rows, e]);
    expect(bits(reconstruct(loaded, x))).toEqual(bits(reconstruct(sae, x)));
    expect(loaded.config).toEqual(sae.config);
    expect(await inspectSae(directory)).toMatchObject({ input: read, output: write, format: 'msae' });
  });

  it('writes arrays of the transform in full, whatever the type of the weights', async () => {
    const sae = randomSae(topK(3), { kind: 'none' }, [centre]);
    const directory = join(root, 'half');
    await saveSae(sae, directory, { dtype: 'F16' });
    expect((await loadSae(directory)).transform.input).toEqual([centre]);
    expect((await saeFiles(sae)).map(({ path }) => path).sort()).toEqual(['msae.json', 'sae.safetensors']);
  });
});

interface Expected {
  x: number[][];
  f: number[][];
  xhat: number[][];
}

describe('files of the version before (written by its own code)', () => {
  const fixture = (name: string): string => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));

  it.each([
    ['v1-topk', ['scale'], { format: 'msae', architecture: 'topk' }],
    ['v1-batchtopk', ['layer-norm'], { format: 'msae', architecture: 'batchtopk' }],
    ['v1-jumprelu', [], { format: 'msae', architecture: 'jumprelu' }],
    ['v1-training', ['scale'], { format: 'msae_checkpoint', architecture: 'batchtopk' }],
  ])('%s opens and computes what it did', async (name, kinds, source) => {
    const text = await readFile(join(fixture(name), 'expected.json'), 'utf8');
    const expected = JSON.parse(text) as Expected;
    const sae = await loadSae(fixture(name));
    const x = tf.tensor2d(expected.x);
    expect(difference(encode(sae, x), tf.tensor2d(expected.f))).toBeLessThan(1e-6);
    expect(difference(reconstruct(sae, x), tf.tensor2d(expected.xhat))).toBeLessThan(1e-6);
    expect(sae.transform.input.map(({ kind }) => kind)).toEqual(kinds);
    expect(sae.record.source).toEqual(source);
    // and again as this version writes it
    const again = join(root, `again-${name}`);
    await saveSae(sae, again);
    expect(bits(reconstruct(await loadSae(again), x))).toEqual(bits(reconstruct(sae, x)));
  });

  it('their fields are where they belong', async () => {
    const topk = await loadSae(fixture('v1-topk'));
    expect(topk.transform.input).toEqual([{ kind: 'scale', factor: 0.37 }]);
    expect(topk.prefixes).toEqual({ lengths: [3, 7, 12], weights: [2, 1, 0.5] });
    expect(topk.record).toMatchObject({
      training: { architecture: 'topk', details: { steps: 7 } },
      metadata: { model_name: 'toy' },
      warnings: [],
    });
    const batch = await loadSae(fixture('v1-batchtopk'));
    expect(batch.inferenceThreshold).toBe(0.3);
    expect(batch.config.penalty).toEqual({ kind: 'log', epsilon: 0.2, subtractLogEpsilon: false });
    const jump = await loadSae(fixture('v1-jumprelu'));
    expect(jump.config.input).toEqual({ width: 5, layout: 'heads' });
    expect(jump.skip?.shape).toEqual([5, 5]);
    const training = await loadSae(fixture('v1-training'));
    expect(training.record.metadata).toEqual({ step: 12, tokens: 192 });
    expect(training.prefixes).toEqual({ lengths: [3, 6, 12], weights: [1, 1, 1] });
    expect(training.inferenceThreshold).toBe(0.8862102031707764);
  });
});
