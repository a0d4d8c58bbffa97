/**
 * Exports SAEs of every activation to every format, and writes what they compute here.
 *
 *     tsx write_ours.ts DIR      after peer_cases.py
 *
 * DIR/ours/<case>/…, DIR/ours-expected/<case>.safetensors (x, f, xhat, gain), DIR/ours.json. The peer's f must be f·gain:
 * folding decoder norms multiplies a latent by the norm its decoder row had.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Activation,
  batchTopK,
  decode,
  encode,
  jumpRelu,
  none,
  relu,
  type Sae,
  saeFromWeights,
  topK,
} from '@msae/core';
import { writeSafetensorsFile } from '@msae/data/node';
import {
  loadSae,
  type Preprocessing,
  preprocess,
  type SaveSaeOptions,
  saveSae,
  type WritableFormat,
} from '@msae/formats';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

const d = 8;
const N = 24;
const rows = 12;
const root = process.argv[2]!;
const index: Record<string, unknown>[] = [];
await tf.setBackend('cpu');
await mkdir(join(root, 'ours-expected'), { recursive: true });

function randomSae(activation: Activation, applyBDecToInput: boolean, seed: number): Sae {
  const rng = createRng(seed);
  const normals = (count: number, scale: number) =>
    Float32Array.from({ length: count }, () => rng.normal() * scale);
  const sae = saeFromWeights(
    { dModel: d, nLatents: N, activation, penalty: none(), applyBDecToInput },
    {
      W_enc: normals(d * N, 0.6),
      b_enc: normals(N, 0.4),
      W_dec: normals(N * d, 0.4),
      b_dec: normals(d, 0.4),
      ...(activation.kind === 'jumprelu' ? { threshold: normals(N, 0.4).map(Math.abs) } : {}),
    },
  );
  if (activation.kind === 'batchtopk') sae.inferenceThreshold = 0.35;
  return sae;
}

async function writeCase(name: string, sae: Sae, options: SaveSaeOptions, about: object): Promise<void> {
  await saveSae(sae, join(root, 'ours', name), options);
  const { inputScale = 1, preprocessing = { normalize: 'none', reshape: 'none' } as Preprocessing } = options;
  const rng = createRng(index.length + 1000);
  const x = tf.tensor2d(
    Float32Array.from({ length: rows * d }, () => rng.normal() * 1.3 + 0.2),
    [rows, d],
  );
  const { input, restore } = preprocess(preprocessing, x);
  const f = encode(sae, tf.mul(input, inputScale));
  const xhat = restore(tf.div(decode(sae, f), inputScale));
  const folded = options.format === 'saelens' && sae.config.activation.kind !== 'topk';
  const gain = folded ? tf.div(tf.norm(sae.params.W_dec, 2, 1), inputScale) : tf.ones([N]);
  const tensors = { x, f, xhat, gain };
  await writeSafetensorsFile(
    join(root, 'ours-expected', `${name}.safetensors`),
    await Promise.all(
      Object.entries(tensors).map(async ([key, tensor]) => ({
        name: key,
        shape: tensor.shape,
        data: (await tensor.data()) as Float32Array,
      })),
    ),
  );
  index.push({ case: name, format: options.format, ...about });
}

const activations: Activation[] = [relu(), topK(3), batchTopK(3), jumpRelu({ threshold: 0 })];
const prefixes = { lengths: [4, 10, N], weights: [0.5, 0.3, 0.2] };
let seed = 0;
for (const activation of activations) {
  for (const applyBDecToInput of [true, false]) {
    const subtract = applyBDecToInput ? '' : '-no_b_dec';
    const make = () => randomSae(activation, applyBDecToInput, seed++);
    for (const normalize of ['none', 'constant_norm_rescale', 'layer_norm'] as const) {
      const name = `saelens-${activation.kind}-${normalize}${subtract}`;
      const preprocessing: Preprocessing = { normalize, reshape: 'none' };
      const about = { architecture: activation.kind, normalize };
      await writeCase(name, make(), { format: 'saelens', preprocessing, prefixes }, about);
    }
    const others: WritableFormat[] = ['saelens', 'dictionary_learning'];
    if (activation.kind === 'topk') others.push('sparsify');
    for (const format of others) {
      const about = { architecture: activation.kind };
      const name = `${format}-${activation.kind}-folded${subtract}`;
      await writeCase(
        name,
        make(),
        { format, inputScale: 0.7, prefixes },
        { ...about, normalize: 'folded scale' },
      );
      if (format === 'saelens') continue;
      await writeCase(
        `${format}-${activation.kind}${subtract}`,
        make(),
        { format },
        { ...about, normalize: 'none' },
      );
    }
  }
}
// transcoders of the peers, through our reader and writer: back there they must still do the same
for (const [name, format] of [
  ['saelens-transcoder-none', 'saelens'],
  ['saelens-skip_transcoder-none', 'saelens'],
  ['saelens-jumprelu_transcoder-none', 'saelens'],
  ['saelens-jumprelu_skip_transcoder-none', 'saelens'],
  ['gemma_scope-2-transcoder', 'saelens'],
  ['sparsify-transcoder', 'sparsify'],
  ['sparsify-skip_transcoder', 'sparsify'],
] as const) {
  const loaded = await loadSae(join(root, 'cases', name));
  const again = `again-${name}`;
  await saveSae(loaded, join(root, 'ours', again), { format, foldDecoderNorm: false });
  await copyFile(
    join(root, 'expected', `${name}.safetensors`),
    join(root, 'ours-expected', `${again}.safetensors`),
  );
  index.push({ case: again, format, architecture: loaded.architecture, normalize: 'none' });
}
await writeFile(join(root, 'ours.json'), JSON.stringify(index, null, 1));
