/**
 * The graph of a decoder. Tensors that a tap means carry the tap's name. In a layer:
 *
 * - `resid_pre` the stream as the layer finds it, `resid_mid` after attention, `resid_post` after the MLP
 * - `z` what the heads give, one after the other, before they are mixed; `attn_out` what attention adds to the stream
 * - `mlp_in` what the MLP reads (after the norm), `mlp_out` what it adds
 *
 * so that resid_pre + attn_out = resid_mid and resid_mid + mlp_out = resid_post, Gemma's second norms included; in a
 * parallel layer (GPT-NeoX) resid_pre + attn_out + mlp_out = resid_post, and there is no resid_mid.
 */
import type { onnx } from 'onnx-proto';
import type { Architecture } from '../architecture.ts';
import { checkReadable, type Weight } from '../storedTensor.ts';
import { need, optional, type WeightSource } from '../weightSource.ts';
import { attend, attentionBias, capped, type Positions } from './attention.ts';
import { type GraphBuilder, graphBuilder, type WeightGroup } from './builder.ts';
import { embedding, floatWeight, type LinearOptions, linear } from './linear.ts';
import { type RotaryOptions, rotated } from './rotary.ts';

export interface TransformerOptions extends LinearOptions, RotaryOptions {
  /** Keys and values of earlier tokens come in as `past_key_values.N.key` and `.value`. */
  readonly past: boolean;
}

/** Roles of a layer's taps, in the order they are computed. */
export const weightTapRoles = [
  'resid_pre',
  'z',
  'attn_out',
  'resid_mid',
  'mlp_in',
  'mlp_out',
  'resid_post',
] as const;
export type WeightTapRole = (typeof weightTapRoles)[number];

export interface WeightTap {
  readonly name: string;
  readonly tensor: string;
  readonly role: WeightTapRole;
  readonly layer: number;
  readonly width: number;
}

export interface TransformerGraph {
  readonly proto: onnx.IModelProto;
  readonly groups: readonly WeightGroup[];
}

/** Taps of every layer. */
export function weightTaps({ layers, width, heads, headWidth, parallel }: Architecture): WeightTap[] {
  const taps: WeightTap[] = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const role of weightTapRoles) {
      if (role === 'resid_mid' && parallel) continue;
      const name = `blocks.${layer}.${role}`;
      const tensor = role === 'resid_pre' ? streamName(layer) : name;
      taps.push({ name, tensor, role, layer, width: role === 'z' ? heads * headWidth : width });
    }
  }
  return taps;
}

const streamName = (layer: number): string =>
  layer === 0 ? 'blocks.0.resid_pre' : `blocks.${layer - 1}.resid_post`;

/** Builds the graph. @throws MsaeError `file` when a weight is missing or of another shape, `unsupported` for its type */
export function transformerGraph(source: WeightSource, options: TransformerOptions): TransformerGraph {
  const { architecture } = source;
  const { layers, width } = architecture;
  const g = graphBuilder();
  const ids = g.input('input_ids', 'int64', ['batch', 'sequence']);
  const mask = g.input('attention_mask', 'int64', ['batch', options.past ? 'past + sequence' : 'sequence']);
  const positionIds = g.input('position_ids', 'int64', ['batch', 'sequence']);
  const positions: Positions = { mask, positionIds };
  const table = weightOf(need(source, 'token_embd.weight', [undefined, width]));
  let stream = embedded(g, source, options, ids, positionIds, table);
  for (let layer = 0; layer < layers; layer++) stream = block(g, source, options, positions, layer, stream);
  const last = norm(g, source, 'output_norm', stream, 'final_norm');
  const matrix = optional(source, 'output.weight', [undefined, width]) ?? (source.tied ? table : undefined);
  if (matrix === undefined) g.output('final_norm', ['batch', 'sequence', width]);
  else {
    const end = g.op('Gather', [last, g.integers([-1])], { axis: 1 });
    head(g, source, options, last, matrix, 'logits');
    head(g, source, options, end, matrix, 'last_logits');
    g.output('logits', ['batch', 'sequence', matrix.shape[0]!]);
    g.describe('last_logits', ['batch', 1, matrix.shape[0]!]);
  }
  for (let layer = 0; layer < layers; layer++) {
    for (const part of ['key', 'value']) {
      g.output(`present.${layer}.${part}`, ['batch', architecture.keyHeads, 'total', architecture.headWidth]);
    }
  }
  for (const tap of weightTaps(architecture)) {
    if (tap.name === tap.tensor) g.describe(tap.tensor, ['batch', 'sequence', tap.width]);
  }
  g.describe('final_norm', ['batch', 'sequence', width]);
  return g.finish();
}

function weightOf(weight: Weight): Weight {
  checkReadable(weight);
  return weight;
}

function embedded(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  ids: string,
  positionIds: string,
  table: Weight,
): string {
  const { architecture } = source;
  const scale = architecture.embeddingScale;
  const learned = architecture.rope === undefined;
  const rows = embedding(g, options, ids, 'token_embd.weight', table);
  const scaled = scale === undefined ? rows : g.op('Mul', [rows, g.floats([scale])]);
  const places = learned
    ? embedding(
        g,
        options,
        positionIds,
        'position_embd.weight',
        weightOf(need(source, 'position_embd.weight', [undefined, architecture.width])),
      )
    : undefined;
  return places === undefined
    ? g.op('Identity', [scaled], {}, streamName(0))
    : g.op('Add', [scaled, places], {}, streamName(0));
}

function block(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  positions: Positions,
  layer: number,
  stream: string,
): string {
  const at = `blk.${layer}`;
  const tap = (role: WeightTapRole): string => `blocks.${layer}.${role}`;
  const secondNorms = source.find(`${at}.post_ffw_norm.weight`) !== undefined;
  const read = norm(g, source, `${at}.attn_norm`, stream);
  const z = heads(g, source, options, positions, layer, read, tap('z'));
  const { heads: count, headWidth, width, parallel } = source.architecture;
  const out = project(
    g,
    source,
    options,
    z,
    `${at}.attn_output`,
    [width, count * headWidth],
    secondNorms ? undefined : tap('attn_out'),
  );
  const attention = secondNorms ? norm(g, source, `${at}.post_attention_norm`, out, tap('attn_out')) : out;
  const mid = parallel ? stream : g.op('Add', [stream, attention], {}, tap('resid_mid'));
  const input = norm(g, source, `${at}.ffn_norm`, mid, tap('mlp_in'));
  const down = mlp(g, source, options, at, input, secondNorms ? undefined : tap('mlp_out'));
  const added = secondNorms ? norm(g, source, `${at}.post_ffw_norm`, down, tap('mlp_out')) : down;
  const after = parallel ? g.op('Add', [attention, added]) : added;
  return g.op('Add', [mid, after], {}, tap('resid_post'));
}

function heads(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  positions: Positions,
  layer: number,
  read: string,
  output: string,
): string {
  const { architecture } = source;
  const { heads: count, keyHeads, headWidth, width } = architecture;
  const at = `blk.${layer}`;
  const windowed = architecture.windowed(layer);
  const rope = windowed ? (architecture.windowRope ?? architecture.rope) : architecture.rope;
  const made = (part: 'q' | 'k', n: number): string => {
    const x = project(g, source, options, read, `${at}.attn_${part}`, [n * headWidth, width]);
    const gain = optional(source, `${at}.attn_${part}_norm.weight`, [headWidth]);
    const normed = gain ? perHeadNorm(g, source, x, `${at}.attn_${part}_norm`, n) : x;
    return rope ? rotated(g, options, positions, rope, normed, n, headWidth) : normed;
  };
  const q = made('q', count);
  const k = made('k', keyHeads);
  const v = project(g, source, options, read, `${at}.attn_v`, [keyHeads * headWidth, width]);
  const bias = attentionBias(g, positions, count / keyHeads, windowed ? architecture.window : undefined);
  const cacheShape = ['batch', keyHeads, 'past', headWidth];
  const named = (prefix: string) => ({ key: `${prefix}.${layer}.key`, value: `${prefix}.${layer}.value` });
  const past = named('past_key_values');
  if (options.past) {
    g.input(past.key, 'float32', cacheShape);
    g.input(past.value, 'float32', cacheShape);
  }
  const cache = { ...(options.past && { past }), present: named('present') };
  return attend(g, architecture, { q, k, v }, bias, cache, output);
}

/** A product with the weight `name.weight` and the bias `name.bias`, where there is one. */
function project(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  x: string,
  name: string,
  shape: readonly [number | undefined, number | undefined],
  output?: string,
): string {
  const weight = weightOf(need(source, `${name}.weight`, shape));
  const bias = optional(source, `${name}.bias`, [weight.shape[0]]);
  return linear(g, options, x, `${name}.weight`, weight, bias && weightOf(bias), output);
}

/** Keys and queries normed head by head (Qwen 3, Gemma 3). */
function perHeadNorm(g: GraphBuilder, source: WeightSource, x: string, name: string, n: number): string {
  const split = g.op('Reshape', [x, g.integers([0, 0, n, source.architecture.headWidth])]);
  const normed = norm(g, source, name, split, undefined, source.architecture.headWidth);
  return g.op('Reshape', [normed, g.integers([0, 0, n * source.architecture.headWidth])]);
}

function norm(
  g: GraphBuilder,
  source: WeightSource,
  name: string,
  x: string,
  output?: string,
  width: number = source.architecture.width,
): string {
  const { kind, epsilon } = source.architecture.norm;
  const gain = floatWeight(g, `${name}.weight`, need(source, `${name}.weight`, [width]));
  const attributes = { axis: -1, epsilon: { float: epsilon } };
  if (kind === 'rms') return g.op('SimplifiedLayerNormalization', [x, gain], attributes, output);
  const bias = floatWeight(g, `${name}.bias`, need(source, `${name}.bias`, [width]));
  return g.op('LayerNormalization', [x, gain, bias], attributes, output);
}

function mlp(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  at: string,
  x: string,
  output: string | undefined,
): string {
  const { width, activation } = source.architecture;
  const gated = source.find(`${at}.ffn_gate.weight`) !== undefined;
  const inner = gated ? 'ffn_gate' : 'ffn_up';
  const size = need(source, `${at}.${inner}.weight`, [undefined, width]).shape[0]!;
  const first = project(g, source, options, x, `${at}.${inner}`, [size, width]);
  const active = activated(g, activation, first);
  const hidden = gated
    ? g.op('Mul', [active, project(g, source, options, x, `${at}.ffn_up`, [size, width])])
    : active;
  return project(g, source, options, hidden, `${at}.ffn_down`, [width, size], output);
}

function activated(g: GraphBuilder, activation: Architecture['activation'], x: string): string {
  if (activation === 'silu') return g.op('Mul', [x, g.op('Sigmoid', [x])]);
  return g.op('Gelu', [x], { approximate: activation === 'gelu' ? 'none' : 'tanh' });
}

/** Logits from a normed stream. */
function head(
  g: GraphBuilder,
  source: WeightSource,
  options: TransformerOptions,
  x: string,
  matrix: Weight,
  output: string,
): void {
  const { logitCap } = source.architecture;
  const own = source.find('output.weight') !== undefined;
  const bias = optional(source, 'output.bias', [matrix.shape[0]]);
  const name = own ? 'output.weight' : 'token_embd.weight';
  const logits = linear(g, options, x, name, weightOf(matrix), bias, logitCap ? undefined : output);
  if (logitCap !== undefined) capped(g, logits, logitCap, output);
}
