/**
 * Llama Scope: hyperparams.json and checkpoints/final.safetensors, or (R1-Distill) config.json and
 * sae_weights.safetensors with `log_jumprelu_threshold`. JumpReLU on activations scaled to norm √d; b_dec is not
 * subtracted. Reference: SAELens `llama_scope_sae_huggingface_loader`, `…_r1_distill_…` (6.54.12), whose scaling of the
 * threshold is followed.
 */
import { jumpRelu } from '@msae/core';
import { type Checkpoint, scaleStep } from '../checkpoint.ts';
import { fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import { type Folder, readJson, subfolder } from '../folder.ts';
import { formatError } from '../formatError.ts';
import type { Format } from '../formats/definition.ts';

const firstConfig = 'hyperparams.json';
const firstWeights = 'checkpoints/final.safetensors';

export const llamaScope: Format = {
  title: 'Llama Scope',
  marks: [firstConfig],
  recognise: ({ folder, name, path }) =>
    name === firstConfig ||
    path.endsWith(firstWeights) ||
    (name === 'sae_weights.safetensors' && isDistill(folder)),
  read: ({ folder, root, path }) =>
    readLlamaScope(
      path.endsWith(firstWeights) ? subfolder(root, path.slice(0, -firstWeights.length)) : folder,
    ),
};

/** R1-Distill's layout shares its file name with SAELens, but has a config.json. */
async function isDistill(folder: Folder): Promise<boolean> {
  if (await folder.open('cfg.json')) return false;
  const config = await readJson(folder, 'config.json');
  return config !== undefined && 'd_model' in config;
}

async function readLlamaScope(folder: Folder): Promise<Checkpoint> {
  const first = await readJson(folder, firstConfig);
  const file = `${folder.name}/${first ? firstConfig : 'config.json'}`;
  const json = first ?? (await readJson(folder, 'config.json'));
  if (!json)
    throw formatError({ file, field: 'file', found: 'nothing', expected: 'hyperparams.json or config.json' });
  const cfg = fieldsOf(file, json);
  const table = await openSafetensors(folder, first ? firstWeights : 'sae_weights.safetensors');
  const [n, d] = table.shape('encoder.weight', 2) as [number, number];
  if (cfg.integer('d_model') !== d) {
    throw formatError({
      file,
      field: 'd_model',
      found: `${cfg.integer('d_model')}`,
      expected: `${d}, as encoder.weight has it`,
    });
  }
  const log = table.has('log_jumprelu_threshold');
  const weights = {
    W_enc: table.matrix('encoder.weight', [n, d], { transpose: true }),
    b_enc: table.vector('encoder.bias', n),
    W_dec: table.matrix('decoder.weight', [d, n], { transpose: true }),
    b_dec: table.vector('decoder.bias', d),
    ...(log ? { threshold: table.vector('log_jumprelu_threshold', n) } : {}),
  };
  table.finish();
  const norms = fieldsOf(
    file,
    cfg.object('dataset_average_activation_norm'),
    'dataset_average_activation_norm.',
  );
  const warnings: string[] = [];
  let inputScale: number | undefined;
  if (norms.has('in')) inputScale = Math.sqrt(d) / norms.number('in');
  else
    warnings.push(
      'normalisation not folded: dataset_average_activation_norm is not in the configuration; load with { inputScale }',
    );
  return {
    architecture: 'jumprelu',
    file: table.file,
    input: { width: d },
    nLatents: n,
    activation: jumpRelu({ threshold: 0 }),
    applyBDecToInput: false,
    weights,
    ...(log
      ? { logThreshold: true }
      : { uniformThreshold: cfg.number('jump_relu_threshold') * (inputScale ?? 1) }),
    ...(inputScale === undefined
      ? { needs: 'expected_average_only_in' as const }
      : { transform: { input: [scaleStep(inputScale)] } }),
    metadata: json,
    warnings,
  };
}
