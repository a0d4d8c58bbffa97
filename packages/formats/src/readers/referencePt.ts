/** Two single `.pt` files: OpenAI's sparse_autoencoder and the reference code of the Matryoshka write-up. */
import { type Activation, identity, relu, topK } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import type { Folder } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import { noPreprocessing } from '../preprocess.ts';
import { openTorch } from './openTensors.ts';

/**
 * OpenAI (github.com/openai/sparse_autoencoder, `model.Autoencoder`): encoder on x − pre_bias; TopK SAEs see
 * layer-normalised activations (unbiased std, ε 1e-5).
 */
export async function readOpenai(folder: Folder, path: string): Promise<Checkpoint> {
  const { table, values } = await openTorch(folder, path);
  const [n, d] = table.shape('encoder.weight', 2) as [number, number];
  const name = values.get('activation') ?? 'ReLU';
  const activation = openaiActivation(table.file, name, values.get('activation_state_dict'), n);
  const tied = table.has('decoder.linear.weight') && !table.has('decoder.weight');
  const weights = {
    W_enc: table.matrix('encoder.weight', [n, d], { transpose: true }),
    b_enc: table.vector('latent_bias', n),
    W_dec: tied
      ? table.matrix('decoder.linear.weight', [n, d])
      : table.matrix('decoder.weight', [d, n], { transpose: true }),
    b_dec: table.vector('pre_bias', d),
  };
  table.ignore('stats_last_nonzero', 'latents_activation_frequency', 'latents_mean_square');
  table.finish();
  return {
    format: 'openai',
    architecture: String(name),
    file: table.file,
    dModel: d,
    nLatents: n,
    activation,
    applyBDecToInput: true,
    weights,
    preprocessing: name === 'TopK' ? { normalize: 'layer_norm', reshape: 'none' } : noPreprocessing,
    metadata: {},
    warnings: [],
  };
}

function openaiActivation(file: string, name: unknown, state: unknown, nLatents: number): Activation {
  if (name === 'ReLU') return relu();
  if (name === 'Identity') return identity();
  if (name !== 'TopK') {
    throw formatError({
      file,
      field: 'activation',
      found: show(name),
      expected: '"TopK", "ReLU" or "Identity"',
    });
  }
  const k = state instanceof Map ? state.get('k') : undefined;
  const post = state instanceof Map ? (state.get('postact_fn') ?? 'ReLU') : 'ReLU';
  if (!Number.isSafeInteger(k) || (k as number) < 1 || (k as number) > nLatents) {
    throw formatError({
      file,
      field: 'activation_state_dict.k',
      found: show(k),
      expected: `1 to ${nLatents}`,
    });
  }
  if (post !== 'ReLU') {
    throw formatError({
      file,
      field: 'activation_state_dict.postact_fn',
      found: show(post),
      expected: '"ReLU"',
    });
  }
  return topK(k as number);
}

/**
 * The write-up's reference (github.com/noanabeshima/matryoshka-saes, `sae.MatryoshkaSAE.state_dict`): relu, no b_dec
 * on the input, activations scaled by √d over a running average of their norm, which is folded here.
 */
export async function readWriteUp(folder: Folder, path: string): Promise<Checkpoint> {
  const { table } = await openTorch(folder, path);
  const [d, n] = table.shape('W_enc', 2) as [number, number];
  const average = await table.scalar('normalizer.running_avg');
  if (!(average > 0) || !Number.isFinite(average)) {
    throw formatError({
      file: table.file,
      field: 'tensor normalizer.running_avg',
      found: show(average),
      expected: 'a number > 0 (it is 0 before the first training step)',
    });
  }
  const weights = {
    W_enc: table.matrix('W_enc', [d, n]),
    b_enc: table.vector('b_enc', n),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
  };
  table.ignore('sq_act_running_avg');
  table.finish();
  return {
    format: 'write_up',
    architecture: 'matryoshka',
    file: table.file,
    dModel: d,
    nLatents: n,
    activation: relu(),
    applyBDecToInput: false,
    weights,
    inputScale: Math.sqrt(d) / average,
    preprocessing: noPreprocessing,
    training: { architecture: 'matryoshka', details: { prefixes: 'truncated Pareto, sampled every step' } },
    metadata: {},
    warnings: [],
  };
}
