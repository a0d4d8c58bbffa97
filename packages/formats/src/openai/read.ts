/**
 * OpenAI (github.com/openai/sparse_autoencoder, `model.Autoencoder`): one .pt, encoder on x − pre_bias; TopK SAEs see
 * layer-normalised activations (unbiased std, ε 1e-5).
 */
import { type Activation, identity, relu, topK } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { formatError, show } from '../formatError.ts';
import type { Candidate, Format } from '../formats/definition.ts';
import { normalization } from '../normalization.ts';

export const openai: Format = {
  title: 'OpenAI',
  marks: [],
  async recognise({ name, torch }) {
    if (!/\.(pt|pth|bin|pkl)$/i.test(name)) return false;
    const { table } = await torch();
    return table.has('latent_bias') && table.has('pre_bias');
  },
  read: readOpenai,
};

async function readOpenai({ torch }: Candidate): Promise<Checkpoint> {
  const { table, values } = await torch();
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
    architecture: String(name),
    file: table.file,
    input: { width: d },
    nLatents: n,
    activation,
    applyBDecToInput: true,
    weights,
    ...normalization(name === 'TopK' ? 'layer_norm' : 'none'),
    metadata: {},
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
