/** The architecture out of a GGUF's metadata; defaults are llama.cpp's. */
import { msaeError } from '@msae/schema';
import type { Architecture, Family, Rope } from '../architecture.ts';
import { type Fields, fieldsOf } from '../fields.ts';
import type { MetadataValue } from './metadata.ts';

const families: readonly string[] = [
  'llama',
  'qwen2',
  'qwen3',
  'phi3',
  'gemma2',
  'gemma3',
  'gpt2',
  'gptneox',
];

/** Frequency factors that some files keep as a tensor. */
export interface RopeFactors {
  readonly plain?: Float32Array;
  readonly short?: Float32Array;
}

/** @throws MsaeError `unsupported` for other architectures; `file` naming a field that is not what it has to be */
export function ggufArchitecture(
  name: string,
  metadata: ReadonlyMap<string, MetadataValue>,
  factors: RopeFactors,
): Architecture {
  const all = fieldsOf(name, (field) => metadata.get(field));
  const family = all.text('general.architecture') as Family;
  if (!families.includes(family)) {
    throw msaeError(
      'unsupported',
      `${name}: a graph of architecture ${family} is not built from weights; those of ${families.join(', ')} are`,
      { file: name, field: 'general.architecture' },
    );
  }
  const fields = fieldsOf(name, (field) => metadata.get(`${family}.${field}`), `${family}.`);
  refuseExperts(fields);
  const width = fields.whole('embedding_length');
  const heads = fields.whole('attention.head_count');
  const layers = fields.whole('block_count');
  const isGemma = family === 'gemma2' || family === 'gemma3';
  const rms = family !== 'gpt2' && family !== 'gptneox';
  const headWidth = fields.whole('attention.key_length', width / heads);
  const positions = fields.whole('context_length');
  const rotary = family === 'gpt2' ? undefined : ropeOf(fields, family, headWidth, factors, positions);
  return {
    family,
    layers,
    width,
    heads,
    keyHeads: fields.whole('attention.head_count_kv', heads),
    headWidth,
    positions: rotary?.positions ?? positions,
    norm: {
      kind: rms ? 'rms' : 'layer',
      epsilon: fields.number(rms ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon'),
    },
    activation: isGemma || family === 'gpt2' ? 'gelu-tanh' : family === 'gptneox' ? 'gelu' : 'silu',
    ...(rotary && { rope: rotary.rope }),
    ...(family === 'gemma3' && {
      windowRope: { theta: fields.number('rope.freq_base_swa', 10_000), dimensions: headWidth },
    }),
    ...windowOf(fields, family),
    attentionScale: scaleOf(family, layers, width, heads, headWidth),
    ...(family === 'gemma2' && {
      attentionCap: fields.number('attn_logit_softcapping', 50),
      logitCap: fields.number('final_logit_softcapping', 30),
    }),
    ...(isGemma && { embeddingScale: Math.fround(Math.sqrt(width)) }),
    parallel: family === 'gptneox' && fields.flag('use_parallel_residual', true),
  };
}

function refuseExperts(fields: Fields): void {
  if (fields.number('expert_count', 0) > 0) {
    throw msaeError('unsupported', `${fields.name}: a mixture of experts is not built from weights`, {
      file: fields.name,
      field: 'expert_count',
    });
  }
}

/** The 27B models of Gemma scale by width / heads, the others by the head's width. */
function scaleOf(family: Family, layers: number, width: number, heads: number, headWidth: number): number {
  const largest = (family === 'gemma2' && layers === 46) || (family === 'gemma3' && layers === 62);
  return (largest ? width / heads : headWidth) ** -0.5;
}

function windowOf(fields: Fields, family: Family): Pick<Architecture, 'window' | 'windowed'> {
  const none = { windowed: () => false };
  if (fields.number('attention.sliding_window', 0) < 1) return none;
  const window = fields.whole('attention.sliding_window');
  if (family === 'gemma2') return { window, windowed: (layer) => layer % 2 === 0 };
  if (family === 'gemma3') return { window, windowed: (layer) => (layer + 1) % 6 !== 0 };
  if (family === 'phi3') return { window, windowed: () => true };
  return none;
}

function ropeOf(
  fields: Fields,
  family: Family,
  headWidth: number,
  factors: RopeFactors,
  positions: number,
): { rope: Rope; positions: number } {
  const rope: Rope = {
    theta: fields.number('rope.freq_base', family === 'gemma3' ? 1e6 : 10_000),
    dimensions: fields.whole('rope.dimension_count', headWidth),
  };
  if (factors.short) {
    const original = fields.whole('rope.scaling.original_context_length', positions);
    const usual =
      original < positions ? Math.sqrt(1 + Math.log(positions / original) / Math.log(original)) : 1;
    return {
      rope: {
        ...rope,
        factors: factors.short,
        attentionFactor: fields.number('rope.scaling.attn_factor', usual),
      },
      positions: original,
    };
  }
  if (factors.plain) return { rope: { ...rope, factors: factors.plain }, positions };
  const kind = fields.text('rope.scaling.type', 'none');
  if (kind === 'none') return { rope, positions };
  if (kind === 'linear') {
    const factor = fields.number('rope.scaling.factor');
    return { rope: { ...rope, factors: new Float32Array(rope.dimensions / 2).fill(factor) }, positions };
  }
  throw msaeError('unsupported', `${fields.name}: rope scaling ${kind}; none and linear are built`, {
    file: fields.name,
    field: `${family}.rope.scaling.type`,
  });
}
