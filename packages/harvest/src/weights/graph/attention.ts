/** Causal attention with grouped keys, windows, caps and a cache, in operators that every onnxruntime has. */
import type { Architecture } from '../architecture.ts';
import type { GraphBuilder } from './builder.ts';

/** Far below every score, and finite: a row that may see nothing stays free of NaN. */
const hidden = -1e30;

/** Tensors that all layers share. */
export interface Positions {
  /** [batch, sequence] */
  readonly positionIds: string;
  /** [batch, total] 1 = a token, 0 = padding; total = past + sequence */
  readonly mask: string;
}

/** [sequence] and total lengths as scalars of shape [1]. */
function lengths(g: GraphBuilder, { positionIds, mask }: Positions): { sequence: string; total: string } {
  const length = (tensor: string): string =>
    g.once(`length of ${tensor}`, () => g.op('Shape', [tensor], { start: 1, end: 2 }));
  return { sequence: length(positionIds), total: length(mask) };
}

/**
 * What is added to scores: 0 where a token may be seen, else far below. [batch, 1, copies · sequence, total]; `copies` is
 * how many query heads share a key head.
 */
export function attentionBias(
  g: GraphBuilder,
  positions: Positions,
  copies: number,
  window: number | undefined,
): string {
  return g.once(`bias ${window ?? 'full'}`, () => {
    const { sequence, total } = lengths(g, positions);
    const scalar = (tensor: string): string => g.op('Squeeze', [tensor, g.integers([0])]);
    const zero = g.integers([0], []);
    const one = g.integers([1], []);
    const end = g.once('end', () => scalar(total));
    const begin = g.once('begin', () => scalar(g.op('Sub', [total, sequence])));
    const seen = g.once('keys', () => g.op('Range', [zero, end, one])); // [total]
    const from = g.once(
      'queries',
      () => g.op('Unsqueeze', [g.op('Range', [begin, end, one]), g.integers([1])]), // [sequence, 1]
    );
    let allowed = g.once('causal', () => g.op('LessOrEqual', [seen, from])); // [sequence, total]
    if (window !== undefined) {
      const oldest = g.op('Sub', [from, g.integers([window])]);
      allowed = g.op('And', [allowed, g.op('Greater', [seen, oldest])]);
    }
    const tokens = g.once(
      'tokens',
      () => g.op('Cast', [g.op('Unsqueeze', [positions.mask, g.integers([1, 2])])], { to: 9 }), // [batch, 1, 1, total]
    );
    const both = g.op('And', [allowed, tokens]);
    const bias = g.op('Where', [both, g.floats([0], []), g.floats([hidden], [])]);
    return copies === 1 ? bias : g.op('Concat', Array<string>(copies).fill(bias), { axis: 2 });
  });
}

/** Names under which a layer's keys and values come in and go out. */
export interface Cache {
  /** [batch, keyHeads, past, headWidth]; absent in a graph without a cache */
  readonly past?: { readonly key: string; readonly value: string };
  readonly present: { readonly key: string; readonly value: string };
}

/**
 * Heads' outputs z [batch, sequence, heads · headWidth], head after head.
 *
 * @param q [batch, sequence, heads · headWidth]
 * @param k [batch, sequence, keyHeads · headWidth]; v as k
 */
export function attend(
  g: GraphBuilder,
  architecture: Architecture,
  { q, k, v }: { readonly q: string; readonly k: string; readonly v: string },
  bias: string,
  cache: Cache,
  output: string,
): string {
  const { heads, keyHeads, headWidth, attentionScale, attentionCap } = architecture;
  const copies = heads / keyHeads;
  const perHead = (x: string, present: string, past: string | undefined): string => {
    const split = g.op('Reshape', [x, g.integers([0, 0, keyHeads, headWidth])]);
    const turned = g.op('Transpose', [split], { perm: [0, 2, 1, 3] }, past ? undefined : present);
    return past ? g.op('Concat', [past, turned], { axis: 2 }, present) : turned;
  };
  const keys = perHead(k, cache.present.key, cache.past?.key);
  const values = perHead(v, cache.present.value, cache.past?.value);
  const split = g.op('Reshape', [q, g.integers([0, 0, keyHeads, copies, headWidth])]);
  const turned = g.op('Transpose', [split], { perm: [0, 2, 3, 1, 4] }); // [batch, keyHeads, copies, sequence, headWidth]
  const queries = g.op('Reshape', [turned, g.integers([0, 0, -1, headWidth])]);
  let scores = g.op('FusedMatMul', [queries, keys], { transB: 1, alpha: { float: attentionScale } });
  if (attentionCap !== undefined) scores = capped(g, scores, attentionCap);
  const weights = g.op('Softmax', [g.op('Add', [scores, bias])], { axis: -1 });
  const mixed = g.op('MatMul', [weights, values]); // [batch, keyHeads, copies · sequence, headWidth]
  const apart = g.op('Reshape', [mixed, g.integers([0, 0, copies, -1, headWidth])]);
  const together = g.op('Transpose', [apart], { perm: [0, 3, 1, 2, 4] });
  return g.op('Reshape', [together, g.integers([0, 0, heads * headWidth])], {}, output);
}

/** cap · tanh(x / cap) */
export function capped(g: GraphBuilder, x: string, cap: number, output?: string): string {
  const squashed = g.op('Tanh', [g.op('Div', [x, g.floats([cap])])]);
  return g.op('Mul', [squashed, g.floats([cap])], {}, output);
}
