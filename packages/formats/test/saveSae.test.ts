import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Activation,
  batchTopK,
  decode,
  encode,
  identity,
  jumpRelu,
  log,
  none,
  relu,
  type Sae,
  saeFromWeights,
  topK,
} from '@msae/core';
import { openSafetensorsFile } from '@msae/data/node';
import {
  inspectSae,
  isFormatError,
  loadSae,
  memoryFolder,
  saeFiles,
  saveSae,
  type WritableFormat,
} from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { casePath, difference, peerCases } from './peerFixtures.ts';

const [d, n, rows] = [6, 16, 9];
const prefixes = { lengths: [3, 7, n], weights: [2, 1, 0.5] };
let root = '';
beforeAll(async () => {
  await tf.setBackend('cpu');
  root = await mkdtemp(join(tmpdir(), 'msae-formats-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let seed = 0;
/** Normal numbers by Box and Muller from a linear congruential generator: other ones at every call, the same every run. */
function normals(count: number): Float32Array {
  let state = ++seed * 2654435761;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  for (let i = 0; i < 4; i++) uniform();
  return Float32Array.from(
    { length: count },
    () => 0.5 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

function randomSae(activation: Activation, applyBDecToInput: boolean): Sae {
  const sae = saeFromWeights(
    { dModel: d, nLatents: n, activation, penalty: log({ epsilon: 0.2 }), applyBDecToInput },
    {
      W_enc: normals(d * n),
      b_enc: normals(n),
      W_dec: normals(n * d),
      b_dec: normals(d),
      ...(activation.kind === 'jumprelu' ? { threshold: normals(n).map(Math.abs) } : {}),
    },
  );
  if (activation.kind === 'batchtopk') sae.inferenceThreshold = 0.3;
  return sae;
}

const activations: Record<string, Activation> = {
  relu: relu(),
  topk: topK(3),
  batchtopk: batchTopK(2.5),
  jumprelu: jumpRelu({ threshold: 0, bandwidth: 0.03 }),
};
const formats: [WritableFormat, string[]][] = [
  ['msae', Object.keys(activations)],
  ['saelens', Object.keys(activations)],
  ['dictionary_learning', Object.keys(activations)],
  ['sparsify', ['topk']],
];
const combinations = formats.flatMap(([format, kinds]) =>
  kinds.flatMap((kind) => [true, false].map((subtracts) => [format, kind, subtracts] as const)),
);

describe('what is saved and loaded again', () => {
  it.each(combinations)(
    '%s of %s (b_dec subtracted: %s) reconstructs the same and remembers its prefixes',
    async (format, kind, subtracts) => {
      const sae = randomSae(activations[kind]!, subtracts);
      const directory = join(root, `${format}-${kind}-${subtracts}`);
      const inputScale = 1.7;
      await saveSae(sae, directory, { format, prefixes, inputScale, metadata: { hook_name: 'blocks.1' } });
      const loaded = await loadSae(directory);
      const x = tf.tensor2d(normals(rows * d), [rows, d]);
      const f = encode(sae, tf.mul(x, inputScale));
      expect(difference(loaded.reconstruct(x), tf.div(decode(sae, f), inputScale))).toBeLessThan(2e-6);
      // folding decoder norms measures a latent by what it adds to x̂; nothing else changes latents
      const folded = format === 'saelens' && kind !== 'topk';
      const gain = folded ? tf.div(tf.norm(sae.params.W_dec, 2, 1), inputScale) : tf.ones([n]);
      expect(difference(loaded.encode(x), tf.mul(f, gain))).toBeLessThan(2e-6);
      expect(loaded.format).toBe(format);
      expect(loaded.prefixes).toEqual(prefixes);
      const training = format === 'msae' ? loaded.sae.config.activation : loaded.training?.details.activation;
      expect(training).toEqual(activations[kind]);
      if (format === 'saelens') expect(loaded.metadata.hook_name).toBe('blocks.1');
      // a batchtopk SAE that saelens holds as jumprelu still says what it was
      if (format === 'saelens')
        expect(loaded.training?.architecture).toBe(`matryoshka_${kind === 'relu' ? 'standard' : kind}`);
    },
  );

  it('the native format gives back every bit and every field', async () => {
    const sae = randomSae(batchTopK(2.5), true);
    const directory = join(root, 'native');
    const training = { architecture: 'batchtopk', details: { steps: 7 } };
    await saveSae(sae, directory, { prefixes, training, metadata: { model_name: 'toy' } });
    const loaded = await loadSae(directory);
    for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const) {
      expect(loaded.sae.params[name].dataSync()).toEqual(sae.params[name].dataSync());
    }
    expect(loaded.sae.config).toEqual(sae.config);
    expect(loaded.sae.inferenceThreshold).toBe(0.3);
    expect([loaded.prefixes, loaded.training, loaded.metadata]).toEqual([
      prefixes,
      training,
      { model_name: 'toy' },
    ]);
  });

  it.each(['F64', 'F16', 'BF16'] as const)('as %s', async (dtype) => {
    const sae = randomSae(relu(), true);
    for (const format of ['msae', 'saelens', 'dictionary_learning'] as const) {
      const directory = join(root, `${format}-${dtype}`);
      await saveSae(sae, directory, { format, dtype });
      const report = await inspectSae(directory);
      expect(report.tensors.every((tensor) => tensor.dtype === dtype)).toBe(true);
      const loaded = await loadSae(directory);
      const x = tf.tensor2d(normals(rows * d), [rows, d]);
      const bound = { F64: 2e-6, F16: 5e-3, BF16: 3e-2 }[dtype];
      expect(difference(loaded.reconstruct(x), decode(sae, encode(sae, x)))).toBeLessThan(bound);
    }
  });

  it('every peer SAE converts to the native format and to saelens without a change', async () => {
    for (const peer of peerCases.filter(
      (one) => !/transcoder/.test(one.architecture) || one.format === 'saelens',
    )) {
      const first = await loadSae(casePath(peer.case));
      const x = tf.tensor2d(normals(rows * first.sae.config.dModel), [rows, first.sae.config.dModel]);
      for (const format of ['msae', 'saelens'] as const) {
        const directory = join(root, `again-${format}-${peer.case}`);
        await saveSae(first, directory, { format });
        const second = await loadSae(directory);
        expect(
          difference(second.reconstruct(x), first.reconstruct(x)),
          `${peer.case} → ${format}`,
        ).toBeLessThan(2e-6);
        expect(second.prefixes).toEqual(first.prefixes);
        second.dispose();
      }
      first.dispose();
    }
  });
});

describe('saveSae refuses', () => {
  it.each<[string, WritableFormat, Activation, RegExp]>([
    [
      'relu in sparsify',
      'sparsify',
      relu(),
      /sparsify export: activation: found relu, expected topk.*saelens/,
    ],
    [
      'identity in saelens',
      'saelens',
      identity(),
      /activation: found identity, expected relu, topk, batchtopk or jumprelu/,
    ],
    ['identity in dictionary_learning', 'dictionary_learning', identity(), /found identity/],
  ])('%s', async (_, format, activation, pattern) => {
    const directory = join(root, 'refused');
    const error = await saveSae(randomSae(activation, true), directory, { format }).catch(
      (caught: unknown) => caught,
    );
    expect(isFormatError(error)).toBe(true);
    expect(String(error)).toMatch(pattern);
    expect(await readdir(root)).not.toContain('refused');
  });

  it('batchtopk without a threshold, run-time normalisation where there is none, and an unknown format', async () => {
    const sae = randomSae(batchTopK(2), true);
    sae.inferenceThreshold = null;
    await expect(saveSae(sae, join(root, 'no'), { format: 'saelens' })).rejects.toThrow(
      /without an inference threshold/,
    );
    const preprocessing = { normalize: 'layer_norm', reshape: 'none' } as const;
    const options = { format: 'dictionary_learning', preprocessing } as const;
    await expect(saveSae(randomSae(relu(), true), join(root, 'no'), options)).rejects.toThrow(
      /normalisation: found layer_norm/,
    );
    const format = 'gguf' as WritableFormat;
    await expect(saeFiles(sae, { format })).rejects.toThrow(
      /format: found "gguf", expected one of msae, saelens/,
    );
  });

  it('to replace a folder that holds other things, and leaves it alone', async () => {
    const directory = await mkdtemp(join(root, 'mine-'));
    await writeFile(join(directory, 'thesis.tex'), 'text');
    await expect(saveSae(randomSae(relu(), true), directory)).rejects.toThrow(/also holds thesis.tex/);
    expect(await readdir(directory)).toEqual(['thesis.tex']);
  });

  it('nothing when a checkpoint is saved over one: it is replaced whole', async () => {
    const directory = join(root, 'twice');
    await saveSae(randomSae(relu(), true), directory, { format: 'dictionary_learning' });
    await saveSae(randomSae(topK(2), true), directory, { format: 'sparsify' });
    expect((await readdir(directory)).sort()).toEqual(['cfg.json', 'sae.safetensors']);
    expect((await readdir(root)).filter((name) => /partial|previous/.test(name))).toEqual([]);
  });
});

describe('saeFiles', () => {
  it('gives the files to write anywhere, as in a browser', async () => {
    const sae = randomSae(topK(3), false);
    const files: Record<string, Uint8Array> = {};
    for (const file of await saeFiles(sae, { format: 'sparsify' })) {
      const parts: Uint8Array[] = [];
      await file.write({ write: (bytes) => void parts.push(bytes.slice()) });
      files[file.path] = new Uint8Array(Buffer.concat(parts));
    }
    const loaded = await loadSae(memoryFolder(files));
    expect(loaded.format).toBe('sparsify');
    expect(loaded.sae.config).toMatchObject({ activation: topK(3), applyBDecToInput: true, penalty: none() });
  });

  it('writes safetensors that any reader takes', async () => {
    const directory = join(root, 'plain');
    await saveSae(randomSae(jumpRelu(), true), directory, { format: 'saelens' });
    const file = await openSafetensorsFile(join(directory, 'sae_weights.safetensors'));
    expect([...file.tensors.keys()]).toEqual(['W_dec', 'W_enc', 'b_dec', 'b_enc', 'threshold']);
    await file.close();
  });
});
