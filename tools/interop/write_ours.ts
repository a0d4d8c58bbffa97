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
  absTopK,
  activationTraits,
  batchTopK,
  encode,
  jumpRelu,
  none,
  reconstruct,
  relu,
  type Sae,
  saeFromWeights,
  type TransformStep,
  topK,
} from '@msae/core';
import { writeSafetensorsFile } from '@msae/data/node';
import { loadSae, type SaveSaeOptions, saveSae, type WritableFormat } from '@msae/formats';
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

function randomSae(
  activation: Activation,
  applyBDecToInput: boolean,
  seed: number,
  input: TransformStep[],
  withPrefixes: boolean,
): Sae {
  const rng = createRng(seed);
  const normals = (count: number, scale: number) =>
    Float32Array.from({ length: count }, () => rng.normal() * scale);
  const { learnsThreshold, needsThreshold } = activationTraits(activation);
  return saeFromWeights(
    { dModel: d, nLatents: N, activation, penalty: none(), applyBDecToInput },
    {
      W_enc: normals(d * N, 0.6),
      b_enc: normals(N, 0.4),
      W_dec: normals(N * d, 0.4),
      b_dec: normals(d, 0.4),
      ...(learnsThreshold && { threshold: normals(N, 0.4).map(Math.abs) }),
    },
    {
      transform: { input },
      ...(needsThreshold && { inferenceThreshold: 0.35 }),
      ...(withPrefixes && { prefixes }),
    },
  );
}

async function writeCase(name: string, sae: Sae, options: SaveSaeOptions, about: object): Promise<void> {
  await saveSae(sae, join(root, 'ours', name), options);
  const rng = createRng(index.length + 1000);
  const x = tf.tensor2d(
    Float32Array.from({ length: rows * d }, () => rng.normal() * 1.3 + 0.2),
    [rows, d],
  );
  const f = encode(sae, x);
  const xhat = reconstruct(sae, x);
  const scale = sae.transform.input.reduce((s, step) => s * ('factor' in step ? step.factor : 1), 1);
  const ranks = ['topk', 'abstopk'].includes(sae.config.activation.kind);
  const folded = options.format === 'saelens' && !ranks;
  const gain = folded ? tf.div(tf.norm(sae.params.W_dec, 2, 1), scale) : tf.ones([N]);
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

const activations: Activation[] = [relu(), topK(3), absTopK(3), batchTopK(3), jumpRelu({ threshold: 0 })];
const prefixes = { lengths: [4, 10, N], weights: [0.5, 0.3, 0.2] };
const rowWise: Readonly<Record<string, TransformStep[]>> = {
  none: [],
  constant_norm_rescale: [{ kind: 'constant-norm' }],
  layer_norm: [{ kind: 'layer-norm', epsilon: 1e-5 }],
};
const mean = Float32Array.from({ length: d }, (_, i) => 0.3 * i - 1);
const folding: Readonly<Record<string, TransformStep[]>> = {
  'folded scale': [{ kind: 'scale', factor: 0.7 }],
  'folded centre and scale': [
    { kind: 'centre', mean },
    { kind: 'scale', factor: 0.7 },
  ],
};
let seed = 0;
for (const activation of activations) {
  for (const applyBDecToInput of [true, false]) {
    const subtract = applyBDecToInput ? '' : '-no_b_dec';
    const make = (steps: TransformStep[], withPrefixes = true) =>
      randomSae(activation, applyBDecToInput, seed++, steps, withPrefixes);
    const architecture = activation.kind;
    for (const [normalize, steps] of Object.entries(rowWise)) {
      const name = `saelens-${activation.kind}-${normalize}${subtract}`;
      await writeCase(name, make(steps), { format: 'saelens' }, { architecture, normalize });
    }
    const others: WritableFormat[] = ['saelens'];
    if (activation.kind !== 'abstopk') others.push('dictionary_learning');
    if (activation.kind === 'topk') others.push('sparsify');
    for (const format of others) {
      for (const [normalize, steps] of Object.entries(folding)) {
        const name = `${format}-${activation.kind}-${normalize.replaceAll(' ', '_')}${subtract}`;
        await writeCase(name, make(steps), { format }, { architecture, normalize });
      }
      if (format === 'saelens') continue;
      const name = `${format}-${activation.kind}${subtract}`;
      await writeCase(name, make([], false), { format }, { architecture, normalize: 'none' });
    }
  }
}
// transcoders of the peers, through our reader and writer: back there they must still do the same
for (const [name, format] of [
  ['saelens-transcoder-none', 'saelens'],
  ['saelens-transcoder_wide-none', 'saelens'],
  ['saelens-skip_transcoder-none', 'saelens'],
  ['saelens-jumprelu_transcoder-none', 'saelens'],
  ['saelens-jumprelu_skip_transcoder-none', 'saelens'],
  ['saelens-jumprelu_skip_transcoder_wide-none', 'saelens'],
  ['gemma_scope-2-transcoder', 'saelens'],
  ['sparsify-transcoder', 'sparsify'],
  ['sparsify-skip_transcoder', 'sparsify'],
] as const) {
  const sae = await loadSae(join(root, 'cases', name));
  const again = `again-${name}`;
  await saveSae(sae, join(root, 'ours', again), { format, foldDecoderNorm: false });
  await copyFile(
    join(root, 'expected', `${name}.safetensors`),
    join(root, 'ours-expected', `${again}.safetensors`),
  );
  index.push({ case: again, format, architecture: sae.record.source?.architecture, normalize: 'none' });
}
await writeFile(join(root, 'ours.json'), JSON.stringify(index, null, 1));
