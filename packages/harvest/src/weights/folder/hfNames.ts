/** Where a Hugging Face checkpoint keeps what the graph calls by GGUF's names. */
import type { Architecture } from '../architecture.ts';
import { type StoredTensor, transposed, type Weight, whole, withRows } from '../storedTensor.ts';

type Find = (name: string) => StoredTensor | undefined;
type Place = string | readonly [name: string, view: (weight: Weight) => Weight];

const ending = /\.(weight|bias)$/;

/** Looks a weight up by its GGUF name. */
export function hfWeights(architecture: Architecture, find: Find): (name: string) => Weight | undefined {
  const { top, layer } = placesOf(architecture);
  const gemma = architecture.family === 'gemma2' || architecture.family === 'gemma3';
  return (name) => {
    const suffix = ending.exec(name)?.[0];
    if (suffix === undefined) return undefined;
    const stem = name.slice(0, -suffix.length);
    const block = /^blk\.(\d+)\.(.*)$/.exec(stem);
    const place = block ? layer(Number(block[1]))[block[2]!] : top[stem];
    if (place === undefined) return undefined;
    const [path, view] = typeof place === 'string' ? [place, undefined] : place;
    const tensor = find(path + suffix);
    if (tensor === undefined) return undefined;
    const plus = gemma && stem.endsWith('norm') ? { plus: 1 } : {};
    const weight = { ...whole(tensor), ...plus };
    // biases are vectors: they have rows to choose, and nothing to transpose
    return view ? view(weight) : weight;
  };
}

interface Places {
  readonly top: Readonly<Record<string, Place>>;
  layer(index: number): Readonly<Record<string, Place>>;
}

const turned = (weight: Weight): Weight => (weight.shape.length === 2 ? transposed(weight) : weight);

function placesOf(architecture: Architecture): Places {
  const { family } = architecture;
  if (family === 'gpt2') return gpt2(architecture);
  if (family === 'gptneox') return neox(architecture);
  return {
    top: { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' },
    layer: (index) => {
      const at = `model.layers.${index}`;
      return {
        attn_norm: `${at}.input_layernorm`,
        attn_q: `${at}.self_attn.q_proj`,
        attn_k: `${at}.self_attn.k_proj`,
        attn_v: `${at}.self_attn.v_proj`,
        attn_q_norm: `${at}.self_attn.q_norm`,
        attn_k_norm: `${at}.self_attn.k_norm`,
        attn_output: `${at}.self_attn.o_proj`,
        ffn_gate: `${at}.mlp.gate_proj`,
        ffn_up: `${at}.mlp.up_proj`,
        ffn_down: `${at}.mlp.down_proj`,
        ...(family === 'phi3' ? fused(architecture, at) : {}),
        ...(family.startsWith('gemma')
          ? {
              post_attention_norm: `${at}.post_attention_layernorm`,
              ffn_norm: `${at}.pre_feedforward_layernorm`,
              post_ffw_norm: `${at}.post_feedforward_layernorm`,
            }
          : { ffn_norm: `${at}.post_attention_layernorm` }),
      };
    },
  };
}

/** Rows of queries, keys and values that lie one after the other. */
export function qkvRows(
  { heads, keyHeads, headWidth }: Architecture,
  part: 'q' | 'k' | 'v',
): { begin: number; end: number } {
  const q = heads * headWidth;
  const k = keyHeads * headWidth;
  if (part === 'q') return { begin: 0, end: q };
  return part === 'k' ? { begin: q, end: q + k } : { begin: q + k, end: q + 2 * k };
}

function fused(architecture: Architecture, at: string): Record<string, Place> {
  const qkv = (part: 'q' | 'k' | 'v'): Place => [
    `${at}.self_attn.qkv_proj`,
    (weight) => withRows(weight, qkvRows(architecture, part)),
  ];
  const half = (second: boolean): Place => [`${at}.mlp.gate_up_proj`, (weight) => halfOf(weight, second)];
  return { attn_q: qkv('q'), attn_k: qkv('k'), attn_v: qkv('v'), ffn_gate: half(false), ffn_up: half(true) };
}

/** The first or the second half of the rows. */
export function halfOf(weight: Weight, second: boolean): Weight {
  const half = Math.floor(weight.shape[0]! / 2);
  return withRows(weight, second ? { begin: half, end: 2 * half } : { begin: 0, end: half });
}

function gpt2(architecture: Architecture): Places {
  return {
    top: { token_embd: 'wte', position_embd: 'wpe', output_norm: 'ln_f', output: 'lm_head' },
    layer: (index) => {
      const at = `h.${index}`;
      const qkv = (part: 'q' | 'k' | 'v'): Place => [
        `${at}.attn.c_attn`,
        (weight) => withRows(turned(weight), qkvRows(architecture, part)),
      ];
      return {
        attn_norm: `${at}.ln_1`,
        attn_q: qkv('q'),
        attn_k: qkv('k'),
        attn_v: qkv('v'),
        attn_output: [`${at}.attn.c_proj`, turned],
        ffn_norm: `${at}.ln_2`,
        ffn_up: [`${at}.mlp.c_fc`, turned],
        ffn_down: [`${at}.mlp.c_proj`, turned],
      };
    },
  };
}

function neox({ heads, headWidth }: Architecture): Places {
  /** Heads lie one after the other, each with its own q, k and v. */
  const rows = (part: number): Int32Array =>
    Int32Array.from({ length: heads * headWidth }, (_, i) => {
      const head = Math.floor(i / headWidth);
      return (3 * head + part) * headWidth + (i % headWidth);
    });
  const qkv = (at: string, part: number): Place => [
    `${at}.attention.query_key_value`,
    (weight) => withRows(weight, rows(part)),
  ];
  return {
    top: { token_embd: 'gpt_neox.embed_in', output_norm: 'gpt_neox.final_layer_norm', output: 'embed_out' },
    layer: (index) => {
      const at = `gpt_neox.layers.${index}`;
      return {
        attn_norm: `${at}.input_layernorm`,
        attn_q: qkv(at, 0),
        attn_k: qkv(at, 1),
        attn_v: qkv(at, 2),
        attn_output: `${at}.attention.dense`,
        ffn_norm: `${at}.post_attention_layernorm`,
        ffn_up: `${at}.mlp.dense_h_to_4h`,
        ffn_down: `${at}.mlp.dense_4h_to_h`,
      };
    },
  };
}
