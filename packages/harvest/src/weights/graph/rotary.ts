/**
 * Rotary position embeddings. Angles are position · frequency in float32, as transformers has them; their sines and cosines are
 * computed in the graph where that is exact (CPU, wasm). A GPU's own are not (WGSL: 2⁻¹¹ within ±π, worse beyond): there
 * they come from two small tables, cos(a + b) = cos a · cos b − sin a · sin b with a of every 256th position.
 */
import type { Rope } from '../architecture.ts';
import { inverseFrequencies } from '../rope.ts';
import type { Positions } from './attention.ts';
import type { GraphBuilder } from './builder.ts';

export interface RotaryOptions {
  /** Positions that tables have to cover; absent: computed in the graph. */
  readonly tabled?: number;
}

const step = 256;

/** Queries or keys [batch, sequence, heads · headWidth], turned by their positions. */
export function rotated(
  g: GraphBuilder,
  options: RotaryOptions,
  positions: Positions,
  rope: Rope,
  x: string,
  heads: number,
  headWidth: number,
): string {
  const { cos, sin, rows } = anglesOf(g, options, positions, rope);
  const attributes = {
    interleaved: 0,
    num_heads: heads,
    rotary_embedding_dim: rope.dimensions === headWidth ? 0 : rope.dimensions,
  };
  return g.op('RotaryEmbedding', [x, rows, cos, sin], attributes);
}

/** Cosines and sines of each token, [batch · sequence, dimensions / 2], and the row of each token in them. */
function anglesOf(
  g: GraphBuilder,
  { tabled }: RotaryOptions,
  positions: Positions,
  rope: Rope,
): { cos: string; sin: string; rows: string } {
  const frequencies = inverseFrequencies(rope);
  const key = `rope ${rope.attentionFactor ?? 1} ${frequencies}`;
  const place = g.once('places of tokens', () => g.op('Reshape', [positions.positionIds, g.integers([-1])]));
  const make = tabled === undefined ? computed : (...of: Parts) => fromTables(...of, tabled);
  const { cos, sin } = make(g, key, place, frequencies);
  const factor = rope.attentionFactor ?? 1;
  const scaled = (name: string, values: string): string =>
    factor === 1 ? values : g.once(`${key} ${name} scaled`, () => g.op('Mul', [values, g.floats([factor])]));
  const rows = g.once('rows of tokens', () => {
    const range = g.op('Range', [
      g.integers([0], []),
      g.op('Size', [positions.positionIds]),
      g.integers([1], []),
    ]);
    return g.op('Reshape', [range, g.op('Shape', [positions.positionIds])]);
  });
  return { cos: scaled('cos', cos), sin: scaled('sin', sin), rows };
}

type Parts = [g: GraphBuilder, key: string, place: string, frequencies: Float32Array];

function computed(...[g, key, place, frequencies]: Parts): { cos: string; sin: string } {
  const angles = g.once(`${key} angles`, () => {
    const column = g.op('Unsqueeze', [g.op('Cast', [place], { to: 1 }), g.integers([1])]);
    return g.op('Mul', [column, g.floats(frequencies)]);
  });
  return {
    cos: g.once(`${key} cos`, () => g.op('Cos', [angles])),
    sin: g.once(`${key} sin`, () => g.op('Sin', [angles])),
  };
}

function fromTables(...[g, key, place, frequencies, covered]: [...Parts, number]): {
  cos: string;
  sin: string;
} {
  const table = (of: (angle: number) => number, count: number, stride: number): string => {
    const values = new Float32Array(count * frequencies.length);
    values.forEach((_, i) => {
      const position = Math.floor(i / frequencies.length) * stride;
      values[i] = of(position * frequencies[i % frequencies.length]!);
    });
    return g.floats(values, [count, frequencies.length]);
  };
  const coarse = g.once('coarse places', () => g.op('Div', [place, g.integers([step])]));
  const fine = g.once('fine places', () => g.op('Mod', [place, g.integers([step])]));
  const count = Math.ceil(covered / step) + 1;
  const rows = (name: string, of: (angle: number) => number): { coarse: string; fine: string } => ({
    coarse: g.once(`${key} ${name} coarse`, () => g.op('Gather', [table(of, count, step), coarse])),
    fine: g.once(`${key} ${name} fine`, () => g.op('Gather', [table(of, step, 1), fine])),
  });
  const cos = rows('cos', Math.cos);
  const sin = rows('sin', Math.sin);
  const product = (a: string, b: string): string => g.op('Mul', [a, b]);
  return {
    cos: g.once(`${key} cos`, () =>
      g.op('Sub', [product(cos.coarse, cos.fine), product(sin.coarse, sin.fine)]),
    ),
    sin: g.once(`${key} sin`, () =>
      g.op('Add', [product(sin.coarse, cos.fine), product(cos.coarse, sin.fine)]),
    ),
  };
}
