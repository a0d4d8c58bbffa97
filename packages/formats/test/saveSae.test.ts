import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Activation,
  absTopK,
  batchTopK,
  decode,
  encode,
  identity,
  isMsaeError,
  jumpRelu,
  log,
  none,
  reconstruct,
  relu,
  type Sae,
  saeFromWeights,
  topK,
} from '@msae/core';
import { openSafetensorsFile } from '@msae/data/node';
import { inspectSae, loadSae, memoryFolder, saeFiles, saveSae, type WritableFormat } from '@msae/formats';
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

const readJsonFile = async (directory: string, name: string): Promise<unknown> =>
  JSON.parse(await readFile(join(directory, name), 'utf8'));

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

/** The same SAE with something in front of its weights and a record. */
function whole(sae: Sae, state: Parameters<typeof saeFromWeights>[2]): Sae {
  const { inferenceThreshold, config, params } = sae;
  return saeFromWeights(config, params, { inferenceThreshold, ...state });
}

const activations: Record<string, Activation> = {
  relu: relu(),
  topk: topK(3),
  abstopk: absTopK(3),
  batchtopk: batchTopK(2.5),
  jumprelu: jumpRelu({ threshold: 0, bandwidth: 0.03 }),
};
const formats: [WritableFormat, string[]][] = [
  ['msae', Object.keys(activations)],
  ['saelens', Object.keys(activations)],
  ['dictionary_learning', Object.keys(activations).filter((kind) => kind !== 'abstopk')],
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
      const factor = 1.7;
      const scaled = whole(sae, { transform: { input: [{ kind: 'scale', factor }] }, prefixes });
      await saveSae(scaled, directory, { format, metadata: { hook_name: 'blocks.1' } });
      const loaded = await loadSae(directory);
      const x = tf.tensor2d(normals(rows * d), [rows, d]);
      const f = encode(sae, tf.mul(x, factor));
      expect(difference(reconstruct(loaded, x), tf.div(decode(sae, f), factor))).toBeLessThan(2e-6);
      // folding decoder norms measures a latent by what it adds to x̂; nothing else changes latents
      const folded = format === 'saelens' && kind !== 'topk' && kind !== 'abstopk';
      const gain = folded ? tf.div(tf.norm(sae.params.W_dec, 2, 1), factor) : tf.ones([n]);
      expect(difference(encode(loaded, x), tf.mul(f, gain))).toBeLessThan(2e-6);
      expect(loaded.record.source?.format).toBe(format);
      expect(loaded.prefixes).toEqual(prefixes);
      const training =
        format === 'msae' ? loaded.config.activation : loaded.record.training?.details.activation;
      expect(training).toEqual(activations[kind]);
      if (format === 'saelens') expect(loaded.record.metadata.hook_name).toBe('blocks.1');
      // a batchtopk SAE that saelens holds as jumprelu still says what it was
      if (format === 'saelens') {
        const base = kind === 'relu' ? 'standard' : kind;
        expect(loaded.record.training?.architecture).toBe(`matryoshka_${base}`);
      }
    },
  );

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
      expect(difference(reconstruct(loaded, x), decode(sae, encode(sae, x)))).toBeLessThan(bound);
    }
  });

  it('every peer SAE converts to the native format and to saelens without a change', async () => {
    for (const peer of peerCases.filter(
      (one) => !/transcoder/.test(one.architecture) || one.format === 'saelens',
    )) {
      const first = await loadSae(casePath(peer.case));
      const { width } = first.config.input;
      const x = tf.tensor2d(normals(rows * width), [rows, width]);
      for (const format of ['msae', 'saelens'] as const) {
        const directory = join(root, `again-${format}-${peer.case}`);
        await saveSae(first, directory, { format });
        const second = await loadSae(directory);
        expect(
          difference(reconstruct(second, x), reconstruct(first, x)),
          `${peer.case} → ${format}`,
        ).toBeLessThan(2e-6);
        expect(second.prefixes).toEqual(first.prefixes);
        second.dispose();
      }
      first.dispose();
    }
  });
});

describe('a normalisation whose constants are not in the file', () => {
  it.each(['expected_average_only_in', 'covariance_whitening'])('%s is said again', async (word) => {
    const cfg = (await readJsonFile(casePath('saelens-standard-none'), 'cfg.json')) as object;
    const weights = await readFile(join(casePath('saelens-standard-none'), 'sae_weights.safetensors'));
    const text = JSON.stringify({ ...cfg, normalize_activations: word });
    const files = {
      'cfg.json': new TextEncoder().encode(text),
      'sae_weights.safetensors': new Uint8Array(weights),
    };
    let sae = await loadSae(memoryFolder(files));
    for (const format of ['msae', 'saelens'] as const) {
      expect(sae.transform.input).toEqual([]);
      expect(sae.record.metadata.normalize_activations).toBe(word);
      expect(sae.record.warnings).toHaveLength(1);
      expect(sae.record.warnings[0]).toContain(`trained with ${word}`);
      await saveSae(sae, join(root, `lacks-${word}`), { format });
      sae = await loadSae(join(root, `lacks-${word}`));
    }
    const written = (await readJsonFile(join(root, `lacks-${word}`), 'cfg.json')) as object;
    expect(written).toMatchObject({ normalize_activations: word });
    expect(written).not.toHaveProperty('metadata.normalize_activations');
    for (const format of ['sparsify', 'dictionary_learning'] as const)
      await expect(saeFiles(sae, { format })).rejects.toThrow(/normalisation: found|activation: found/);
  });

  it('is given to a native file by inputScale as well, and refused where nothing lacks', async () => {
    const lacking = join(root, 'lacks-expected_average_only_in');
    await saveSae(await loadSae(lacking), lacking, { format: 'msae' });
    const sae = await loadSae(lacking, { inputScale: 3 });
    expect(sae.transform.input).toEqual([{ kind: 'scale', factor: 3 }]);
    expect(sae.record.warnings).toEqual([]);
    expect(sae.record.metadata).not.toHaveProperty('normalize_activations');
    await expect(loadSae(casePath('saelens-topk-none'), { inputScale: 3 })).rejects.toThrow(
      /inputScale: found 3 for an SAE that lacks no constant/,
    );
  });
});

describe('transcoders between spaces of different width', () => {
  it.each([relu(), batchTopK(2), jumpRelu()])('go to saelens and back with $kind', async (activation) => {
    const e = 4;
    const sae = saeFromWeights(
      { input: { width: d }, output: { width: e }, nLatents: n, activation },
      { W_enc: normals(d * n), b_enc: normals(n), W_dec: normals(n * e), b_dec: normals(e) },
      {
        transform: {
          input: [{ kind: 'constant-norm' }, { kind: 'centre', mean: normals(d) }],
          output: [{ kind: 'scale', factor: 0.5 }],
        },
        inferenceThreshold: 0.2,
        ...(activation.kind === 'relu' ? {} : { skip: normals(d * e) }),
      },
    );
    const directory = join(root, `transcoder-${activation.kind}`);
    await saveSae(sae, directory, { format: 'saelens' });
    const loaded = await loadSae(directory);
    const x = tf.tensor2d(normals(rows * d), [rows, d]);
    expect(difference(reconstruct(loaded, x), reconstruct(sae, x))).toBeLessThan(2e-6);
    expect([loaded.config.input.width, loaded.config.output?.width]).toEqual([d, e]);
    expect(loaded.record.source?.architecture).toBe(
      activation.kind === 'relu' ? 'transcoder' : 'jumprelu_skip_transcoder',
    );
    for (const format of ['sparsify', 'dictionary_learning'] as const)
      await expect(saeFiles(sae, { format })).rejects.toThrow(/found/);
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
      /activation: found identity, expected relu, topk, abstopk, batchtopk, jumprelu; use format msae/,
    ],
    ['identity in dictionary_learning', 'dictionary_learning', identity(), /found identity/],
    [
      'abstopk in dictionary_learning',
      'dictionary_learning',
      absTopK(2),
      /found abstopk, expected relu, topk, batchtopk, jumprelu; export to saelens/,
    ],
    ['abstopk in sparsify', 'sparsify', absTopK(2), /found abstopk, expected topk/],
  ])('%s', async (_, format, activation, pattern) => {
    const directory = join(root, 'refused');
    const error = await saveSae(randomSae(activation, true), directory, { format }).catch(
      (caught: unknown) => caught,
    );
    expect(isMsaeError(error, 'unsupported')).toBe(true);
    expect(String(error)).toMatch(pattern);
    expect(await readdir(root)).not.toContain('refused');
  });

  it('batchtopk without a threshold, and what is no option', async () => {
    const sae = randomSae(batchTopK(2), true);
    sae.inferenceThreshold = null;
    await expect(saveSae(sae, join(root, 'no'), { format: 'saelens' })).rejects.toThrow(
      /without an inference threshold/,
    );
    const format = 'gguf' as WritableFormat;
    await expect(saeFiles(sae, { format })).rejects.toThrow(
      /saveSae: format: expected one of msae, saelens, sparsify, dictionary_learning, got "gguf"/,
    );
    const misspelt = { formats: 'msae' } as object;
    await expect(saeFiles(sae, misspelt)).rejects.toThrow(/no option formats \(did you mean format\?\)/);
    // what every SAE holds itself
    const gone = { inputScale: 2 } as object;
    await expect(saeFiles(sae, gone)).rejects.toThrow(/there is no option inputScale/);
    await expect(loadSae('x', { scale: 2 } as object)).rejects.toThrow(/loadSae: there is no option scale/);
    await expect(inspectSae('x', { norm: true } as object)).rejects.toThrow(/did you mean norms/);
  });

  it.each<[WritableFormat, Sae['transform']['input'], RegExp]>([
    ['dictionary_learning', [{ kind: 'layer-norm', epsilon: 1e-5 }], /transform: found layer-norm/],
    ['sparsify', [{ kind: 'constant-norm' }], /transform: found constant-norm.*export to saelens or msae/],
    [
      'saelens',
      [{ kind: 'layer-norm', epsilon: 1e-3 }],
      /transform: found layer-norm.*1e-5.*use format msae/,
    ],
    [
      'saelens',
      [
        { kind: 'scale', factor: 2 },
        { kind: 'layer-norm', epsilon: 1e-5 },
      ],
      /transform: found scale, layer-norm/,
    ],
  ])('in %s what depends on the row and has no word there', async (format, input, pattern) => {
    const sae = whole(randomSae(topK(3), true), { transform: { input } });
    const error = await saeFiles(sae, { format }).catch((caught: unknown) => caught);
    expect(isMsaeError(error, 'unsupported'), String(error)).toBe(true);
    expect(String(error)).toMatch(pattern);
  });

  it('a skip connection beside what saelens would not undo, and any in dictionary_learning', async () => {
    const skip = normals(d * d);
    const transform = { input: [{ kind: 'constant-norm' }] } as const;
    const sae = whole(randomSae(relu(), false), { skip, transform });
    await expect(saeFiles(sae, { format: 'saelens' })).rejects.toThrow(/constant-norm beside a skip/);
    await expect(saeFiles(sae, { format: 'dictionary_learning' })).rejects.toThrow(/skip connection/);
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
    expect(loaded.record.source).toEqual({ format: 'sparsify', architecture: 'topk' });
    expect(loaded.config).toMatchObject({ activation: topK(3), applyBDecToInput: true, penalty: none() });
  });

  it('writes safetensors that any reader takes', async () => {
    const directory = join(root, 'plain');
    await saveSae(randomSae(jumpRelu(), true), directory, { format: 'saelens' });
    const file = await openSafetensorsFile(join(directory, 'sae_weights.safetensors'));
    expect([...file.tensors.keys()]).toEqual(['W_dec', 'W_enc', 'b_dec', 'b_enc', 'threshold']);
    await file.close();
  });
});
