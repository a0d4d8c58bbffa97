/** What a damaged, lying or foreign checkpoint gets: one error with the file, the field, what was found and expected. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeSafetensors, type TensorToWrite } from '@msae/data';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { isMsaeError } from '@msae/core';
import { inspectSae, loadSae, memoryFolder } from '@msae/formats';
import { casePath } from './peerFixtures.ts';

let tensorsBefore = 0;
beforeAll(async () => {
  await tf.setBackend('cpu');
  tensorsBefore = tf.memory().numTensors;
});
afterEach(() => expect(tf.memory().numTensors).toBe(tensorsBefore));

const [d, n] = [3, 5];
const tensor = (name: string, shape: number[], fill = 0.5): TensorToWrite => ({
  name,
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill),
});
const good = (): TensorToWrite[] => [
  tensor('W_enc', [d, n]),
  tensor('b_enc', [n]),
  tensor('W_dec', [n, d]),
  tensor('b_dec', [d]),
];
const config = {
  architecture: 'standard',
  d_in: d,
  d_sae: n,
  dtype: 'float32',
  metadata: { sae_lens_version: '6.54.12' },
};
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

async function messageOf(cfg: unknown, tensors: TensorToWrite[]): Promise<string> {
  const files = { 'cfg.json': json(cfg), 'sae_weights.safetensors': await encodeSafetensors(tensors) };
  const error = await loadSae(memoryFolder(files, 'bad')).then(
    (loaded) => {
      loaded.dispose();
      return 'it loaded';
    },
    (caught: unknown) => caught,
  );
  expect(isMsaeError(error, 'file'), String(error)).toBe(true);
  return (error as Error).message;
}

describe('a SAELens folder with', () => {
  const replace = (name: string, ...by: TensorToWrite[]) => [
    ...good().filter((one) => one.name !== name),
    ...by,
  ];
  it.each<[string, unknown, TensorToWrite[], RegExp]>([
    [
      'a transposed W_dec',
      config,
      replace('W_dec', tensor('W_dec', [d, n])),
      /bad\/sae_weights.*W_dec: found shape \[3, 5\], expected \[5, 3\]; it is transposed/,
    ],
    [
      'a missing tensor',
      config,
      replace('b_enc'),
      /tensor b_enc: found nothing, expected a tensor of shape \[5\]; the file has/,
    ],
    [
      'an extra tensor',
      config,
      [...good(), tensor('W_extra', [2])],
      /tensor W_extra: found it, expected only W_enc, W_dec, b_dec, b_enc/,
    ],
    [
      'a wrong shape',
      config,
      replace('b_dec', tensor('b_dec', [4])),
      /tensor b_dec: found shape \[4\], expected \[3\]/,
    ],
    [
      'NaN weights',
      config,
      replace('W_enc', tensor('W_enc', [d, n], Number.NaN)),
      /sae_weights.*tensor W_enc: found NaN.*expected finite/,
    ],
    [
      'infinite weights',
      config,
      replace('b_dec', tensor('b_dec', [d], Number.NEGATIVE_INFINITY)),
      /tensor b_dec: found -Infinity/,
    ],
    [
      'an unknown architecture',
      { ...config, architecture: 'quantum' },
      good(),
      /cfg.json: architecture: found "quantum", expected one of standard, topk/,
    ],
    [
      'an architecture that has no equivalent',
      { ...config, architecture: 'temporal', k: 2 },
      good(),
      /architecture: found "temporal".*no equivalent/,
    ],
    [
      'no k',
      { ...config, architecture: 'topk' },
      good(),
      /cfg.json: k: found nothing, expected a whole number >= 1/,
    ],
    [
      'k above the number of latents',
      { ...config, architecture: 'topk', k: 9 },
      good(),
      /k: found 9, expected at most the 5 latents/,
    ],
    [
      'another d_sae than its tensors',
      { ...config, d_sae: 6 },
      good(),
      /tensor W_enc: found shape \[3, 5\], expected \[3, 6\]/,
    ],
    [
      'a d_sae that is no number',
      { ...config, d_sae: '5' },
      good(),
      /d_sae: found "5", expected a whole number >= 1/,
    ],
    [
      'a threshold of inference that is no number',
      { ...config, architecture: 'batchtopk', k: 2 },
      [...good(), tensor('topk_threshold', [], Number.NaN)],
      /threshold: found NaN, expected a finite number/,
    ],
    [
      'an unknown normalisation',
      { ...config, normalize_activations: 'magic' },
      good(),
      /normalize_activations: found "magic", expected one of none/,
    ],
    [
      'falling widths',
      { ...config, matryoshka_widths: [4, 2, 5] },
      good(),
      /matryoshka_widths: found \[4,2,5\], expected strictly rising/,
    ],
    [
      'another output width without being a transcoder',
      { ...config, d_out: 7 },
      good(),
      /d_out: found 7, expected 3.*only a transcoder/,
    ],
    [
      'a transcoder whose tensors have another width than it says',
      { ...config, architecture: 'transcoder', d_out: 7 },
      good(),
      /tensor W_dec: found shape \[5, 3\], expected \[5, 7\]/,
    ],
    [
      'a fine-tuned scaling factor',
      config,
      [...good(), tensor('scaling_factor', [n], 2)],
      /scaling_factor: found a fine-tuned factor/,
    ],
  ])('%s', async (_, cfg, tensors, pattern) => {
    expect(await messageOf(cfg, tensors)).toMatch(pattern);
  });

  it('a cfg.json that is no JSON, or missing', async () => {
    const weights = await encodeSafetensors(good());
    const load = (files: Record<string, Uint8Array>) => loadSae(memoryFolder(files, 'bad'));
    const notJson = { 'cfg.json': new TextEncoder().encode('{"a": '), 'sae_weights.safetensors': weights };
    await expect(load(notJson)).rejects.toThrow(/bad\/cfg.json: JSON: found .*expected valid JSON/);
    await expect(load({ 'sae_weights.safetensors': weights })).rejects.toThrow(
      /cfg.json: file: found nothing/,
    );
  });

  it('a header that lies about its sizes', async () => {
    const weights = await encodeSafetensors(good());
    new DataView(weights.buffer).setBigUint64(0, 1n << 40n, true);
    const files = { 'cfg.json': json(config), 'sae_weights.safetensors': weights };
    const error = await loadSae(memoryFolder(files, 'bad')).catch((caught: unknown) => caught);
    expect(isMsaeError(error, 'file')).toBe(true);
    expect(String(error)).toMatch(
      /bad\/sae_weights.safetensors: not a valid safetensors file: the header length/,
    );
  });
});

describe('places that hold no SAE', () => {
  it.each<[string, Record<string, Uint8Array>, RegExp]>([
    ['nothing', {}, /format: found no files/],
    [
      'other files',
      { 'readme.md': json(1), 'model.bin2': json(2) },
      /found files such as readme.md, model.bin2/,
    ],
    ['several SAEs', { 'a/ae.pt': json(1), 'b/ae.pt': json(2) }, /several SAEs: a, b.*name one of them/],
  ])('%s', async (_, files, pattern) => {
    await expect(loadSae(memoryFolder(files, 'place'))).rejects.toThrow(pattern);
  });
});

/** The files of a fixture in memory; `v1-…` and `v2-…` are native ones. */
function filesOf(name: string): Record<string, Uint8Array> {
  const native = /^v\d-/.test(name);
  const root = native ? fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url)) : casePath(name);
  const files: Record<string, Uint8Array> = {};
  const walk = (path: string): void => {
    for (const entry of readdirSync(path)) {
      const full = join(path, entry);
      if (statSync(full).isDirectory()) walk(full);
      else files[relative(root, full)] = new Uint8Array(readFileSync(full));
    }
  };
  walk(root);
  return files;
}

const kinds = [
  'saelens-checkpoint-matryoshka_batchtopk-covariance_whitening',
  'saelens-gated-none',
  'saelens-jumprelu_skip_transcoder_wide-none',
  'dictionary_learning-MatryoshkaBatchTopKSAE',
  'sparsify-skip_transcoder',
  'gemma_scope-npz-lower',
  'gemma_scope-npz-compressed',
  'llama_scope',
  'openai-TopK',
  'write_up-legacy_torch',
  'v1-batchtopk',
  'v1-training',
  'v2-whitened',
];

async function loadsOrSaysWhy(files: Record<string, Uint8Array>): Promise<void> {
  for (const open of [loadSae, inspectSae]) {
    try {
      const result = await open(memoryFolder(files, 'fuzzed'));
      if ('dispose' in result) result.dispose();
    } catch (error) {
      if (!isMsaeError(error, 'file')) throw error;
      expect(error.message.length).toBeLessThan(2000);
    }
  }
}

describe('fuzzing', () => {
  it.each(kinds)('%s with damaged bytes loads or says why', async (kind) => {
    const original = filesOf(kind);
    const names = Object.keys(original);
    const damage = fc.record({
      file: fc.constantFrom(...names),
      edits: fc.array(
        fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })),
        { minLength: 1, maxLength: 6 },
      ),
      // most of what matters is near the beginning of a file
      near: fc.constantFrom(1, 0.2, 0.05),
      keep: fc.oneof(
        { weight: 3, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
      ),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ file, edits, near, keep }) => {
        const bytes = original[file]!.slice(0, Math.floor(original[file]!.length * keep));
        for (const [at, value] of edits)
          if (bytes.length) bytes[Math.floor(at * near * (bytes.length - 1))] = value;
        await loadsOrSaysWhy({ ...original, [file]: bytes });
      }),
      { numRuns: 250 },
    );
  });

  it.each([
    ['saelens-checkpoint-matryoshka_batchtopk-none', 'cfg.json'],
    ['saelens-legacy-topk', 'cfg.json'],
    ['saelens-abstopk-none', 'cfg.json'],
    ['v1-topk', 'msae.json'],
    ['v2-whitened', 'msae.json'],
    ['v1-training', 'state.json'],
    ['sparsify-topk', 'cfg.json'],
    ['dictionary_learning-BatchTopKSAE', 'config.json'],
    ['llama_scope', 'Llama3_1-8B-Base-L3R-8x/hyperparams.json'],
  ])('%s with any value in any field of %s loads or says why', async (kind, file) => {
    const original = filesOf(kind);
    const value = JSON.parse(new TextDecoder().decode(original[file])) as Record<string, unknown>;
    const fields = Object.keys(value);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...fields),
        fc.jsonValue(),
        fc.boolean(),
        async (field, other, nested) => {
          const inner = value[field];
          const deep = nested && typeof inner === 'object' && inner !== null && !Array.isArray(inner);
          const key = deep ? Object.keys(inner)[0] : undefined;
          const changed = {
            ...value,
            [field]: key === undefined ? other : { ...(inner as object), [key]: other },
          };
          await loadsOrSaysWhy({ ...original, [file]: json(changed) });
        },
      ),
      { numRuns: 250 },
    );
  });
});
