/** The architecture out of a Hugging Face config.json. */
import { msaeError } from '@msae/schema';
import type { Architecture, Family, Rope } from '../architecture.ts';
import { type Fields, fieldsOf } from '../fields.ts';
import { scaledRope } from '../rope.ts';

const families: Readonly<Record<string, Family>> = {
  llama: 'llama',
  mistral: 'mistral',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  phi3: 'phi3',
  gemma2: 'gemma2',
  gemma3: 'gemma3',
  gemma3_text: 'gemma3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

/** Names that activation functions have in config.json. */
const activations: Readonly<Record<string, Architecture['activation']>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
};

type Json = Record<string, unknown>;

export interface HfConfig {
  readonly architecture: Architecture;
  /** The output matrix is the embedding. */
  readonly tied: boolean;
}

/** @throws MsaeError `unsupported` for other families and settings; `file` naming a field that is not what it has to be */
export function hfArchitecture(json: Json, name: string): HfConfig {
  const type = String(json.model_type);
  const family = families[type];
  if (family === undefined) {
    throw msaeError(
      'unsupported',
      `${name}: a graph of model_type ${type} is not built from weights; those of ${Object.keys(families).join(', ')} are. Export the model to ONNX instead`,
      { file: name, field: 'model_type' },
    );
  }
  const text = json.text_config;
  const config = typeof text === 'object' && text !== null ? { ...json, ...(text as Json) } : json;
  const fields = fieldsOf(name, (field) => config[field]);
  refuseOthers(fields, family);
  const tied = fields.flag('tie_word_embeddings', family === 'gpt2' || family.startsWith('gemma'));
  if (family === 'gpt2') return { architecture: gpt2(fields), tied };
  if (family === 'gptneox') return { architecture: neox(fields), tied };
  return { architecture: llamaLike(fields, family), tied };
}

function activationOf(fields: Fields, field: string, fallback: string): Architecture['activation'] {
  const given = fields.text(field, fallback);
  const found = activations[given];
  if (found === undefined) {
    throw msaeError(
      'unsupported',
      `${fields.name}: ${field} ${given}; ${Object.keys(activations).join(', ')} are built`,
      { file: fields.name, field },
    );
  }
  return found;
}

function refuseOthers(fields: Fields, family: Family): void {
  const refused: readonly [field: string, bad: (value: unknown) => boolean][] = [
    ['scale_attn_by_inverse_layer_idx', (value) => value === true],
    ['reorder_and_upcast_attn', (value) => value === true],
    ['add_cross_attention', (value) => value === true],
    ['quantization_config', () => true],
    ['num_local_experts', () => true],
    ['num_experts', () => true],
  ];
  for (const [field, bad] of refused) {
    if (fields.has(field) && bad(fields.get(field))) {
      throw msaeError(
        'unsupported',
        `${fields.name}: ${field} of a ${family} model is not built from weights`,
        {
          file: fields.name,
          field,
        },
      );
    }
  }
}

function gpt2(fields: Fields): Architecture {
  const width = fields.whole('n_embd');
  const heads = fields.whole('n_head');
  const headWidth = width / heads;
  return {
    family: 'gpt2',
    layers: fields.whole('n_layer'),
    width,
    heads,
    keyHeads: heads,
    headWidth,
    positions: fields.whole('n_positions', 1024),
    norm: { kind: 'layer', epsilon: fields.number('layer_norm_epsilon', 1e-5) },
    activation: activationOf(fields, 'activation_function', 'gelu_new'),
    windowed: () => false,
    attentionScale: fields.flag('scale_attn_weights', true) ? headWidth ** -0.5 : 1,
    parallel: false,
  };
}

function neox(fields: Fields): Architecture {
  const width = fields.whole('hidden_size');
  const heads = fields.whole('num_attention_heads');
  const headWidth = width / heads;
  const parameters = ropeFields(fields);
  const share = parameters.number('partial_rotary_factor', fields.number('rotary_pct', 0.25));
  const plain: Rope = {
    theta: parameters.number(
      'rope_theta',
      fields.number('rotary_emb_base', fields.number('rope_theta', 10_000)),
    ),
    dimensions: Math.floor(headWidth * share),
  };
  const { rope, positions } = scaledRope(plain, parameters, fields.whole('max_position_embeddings', 2048));
  return {
    family: 'gptneox',
    layers: fields.whole('num_hidden_layers'),
    width,
    heads,
    keyHeads: heads,
    headWidth,
    positions,
    norm: { kind: 'layer', epsilon: fields.number('layer_norm_eps', 1e-5) },
    activation: activationOf(fields, 'hidden_act', 'gelu'),
    rope,
    windowed: () => false,
    attentionScale: headWidth ** -0.5,
    parallel: fields.flag('use_parallel_residual', true),
  };
}

/** `rope_parameters` (transformers 5) or `rope_scaling`, of a kind of layer where they differ. */
function ropeFields(fields: Fields, kind?: string): Fields {
  const all = (fields.get('rope_parameters') ?? fields.get('rope_scaling') ?? {}) as Json;
  const own = kind !== undefined && typeof all[kind] === 'object' ? (all[kind] as Json) : all;
  return fieldsOf(`${fields.name}: rope`, (field) => own?.[field]);
}

function llamaLike(fields: Fields, family: Family): Architecture {
  const width = fields.whole('hidden_size');
  const heads = fields.whole('num_attention_heads');
  const layers = fields.whole('num_hidden_layers');
  const headWidth = fields.whole('head_dim', family.startsWith('gemma') ? 256 : width / heads);
  const isGemma = family === 'gemma2' || family === 'gemma3';
  const parameters = ropeFields(fields, 'full_attention');
  const given = fields.whole('max_position_embeddings', isGemma ? 8192 : 2048);
  const share = parameters.number('partial_rotary_factor', fields.number('partial_rotary_factor', 1));
  const plain: Rope = {
    theta: parameters.number('rope_theta', fields.number('rope_theta', family === 'gemma3' ? 1e6 : 10_000)),
    dimensions: Math.floor(headWidth * share),
  };
  // original positions may stand outside the rope's own settings (Phi-3)
  const within = fieldsOf(
    parameters.name,
    (field) => parameters.get(field) ?? (field.startsWith('original') ? fields.get(field) : undefined),
  );
  const { rope, positions } = scaledRope(plain, within, given);
  const window = windowOf(fields, family, layers);
  const local = ropeFields(fields, 'sliding_attention');
  return {
    family,
    layers,
    width,
    heads,
    keyHeads: fields.whole('num_key_value_heads', heads),
    headWidth,
    positions,
    norm: { kind: 'rms', epsilon: fields.number('rms_norm_eps', 1e-6) },
    activation: activationOf(
      fields,
      isGemma && fields.has('hidden_activation') ? 'hidden_activation' : 'hidden_act',
      isGemma ? 'gelu_pytorch_tanh' : 'silu',
    ),
    rope,
    ...(family === 'gemma3' && {
      windowRope: {
        theta: fields.number(
          'rope_local_base_freq',
          fields.has('rope_parameters') ? local.number('rope_theta', 10_000) : 10_000,
        ),
        dimensions: headWidth,
      },
    }),
    ...window,
    attentionScale: (isGemma ? fields.number('query_pre_attn_scalar', 256) : headWidth) ** -0.5,
    ...(family === 'gemma2' && {
      attentionCap: fields.number('attn_logit_softcapping', 50),
      logitCap: fields.number('final_logit_softcapping', 30),
    }),
    ...(isGemma && { embeddingScale: Math.fround(Math.sqrt(width)) }),
    parallel: false,
  };
}

function windowOf(fields: Fields, family: Family, layers: number): Pick<Architecture, 'window' | 'windowed'> {
  const none = { windowed: () => false };
  const switchedOff = family.startsWith('qwen') && !fields.flag('use_sliding_window', false);
  if (!fields.has('sliding_window') || switchedOff) return none;
  const window = fields.whole('sliding_window');
  const kinds = fields.get('layer_types');
  if (Array.isArray(kinds) && kinds.length >= layers) {
    return { window, windowed: (layer) => kinds[layer] === 'sliding_attention' };
  }
  if (family === 'gemma2') return { window, windowed: (layer) => layer % 2 === 0 };
  if (family === 'gemma3') {
    const pattern = fields.whole('sliding_window_pattern', 6);
    return { window, windowed: (layer) => (layer + 1) % pattern !== 0 };
  }
  if (family.startsWith('qwen')) {
    const from = fields.number('max_window_layers', layers);
    return { window, windowed: (layer) => layer >= from };
  }
  if (family === 'mistral' || family === 'phi3') return { window, windowed: () => true };
  return none;
}
