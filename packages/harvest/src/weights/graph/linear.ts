/** Products with weights, and rows of an embedding, from floating or quantised tensors. */
import { float32ToBytes } from '@msae/data';
import { groupLayout } from '../gguf/blocks.ts';
import { checkReadable, isQuantised, loadFloatBytes, loadGroups, type Weight } from '../storedTensor.ts';
import type { DeclaredWeight, GraphBuilder } from './builder.ts';
import {
  type PlaneLayout,
  planesOf,
  type QuantisedForm,
  quantisedLayout,
  zeroPointBytes,
} from './quantised.ts';

const bytesOf = (values: Float32Array): Uint8Array => float32ToBytes(values, 'F32');

export interface LinearOptions {
  readonly form: QuantisedForm;
  /** Quantised weights are unpacked to float32 once, when a session opens. */
  readonly dequantised: boolean;
}

/** Declares a tensor that is float32 in the graph; its name. */
export function floatWeight(g: GraphBuilder, name: string, weight: Weight): string {
  checkReadable(weight);
  g.weights([{ name, type: 'float32', shape: weight.shape }], async () => [await loadFloatBytes(weight)]);
  return name;
}

/** x · Wᵀ + bias. x [batch, sequence, K], W [N, K]. */
export function linear(
  g: GraphBuilder,
  options: LinearOptions,
  x: string,
  name: string,
  weight: Weight,
  bias?: Weight,
  output?: string,
): string {
  const last = bias ? undefined : output;
  const product =
    isQuantised(weight) && !options.dequantised
      ? quantisedProduct(g, options.form, x, name, weight, last)
      : g.op('FusedMatMul', [x, floatWeight(g, name, weight)], { transB: 1 }, last);
  return bias ? g.op('Add', [product, floatWeight(g, biasName(name), bias)], {}, output) : product;
}

const biasName = (name: string): string => name.replace(/weight$/, 'bias');

interface NamedPlane extends PlaneLayout {
  readonly packed: string;
  readonly scale: string;
  /** Absent for onnxruntime's default. */
  readonly zero?: string;
}

interface QuantisedNames {
  readonly planes: readonly NamedPlane[];
  readonly min?: string;
  readonly group: number;
  readonly groups: number;
}

/** Declares the initializers of a quantised matrix; their names. */
function quantisedWeight(g: GraphBuilder, form: QuantisedForm, name: string, weight: Weight): QuantisedNames {
  const [rows, columns] = weight.shape as [number, number];
  const kind = groupLayout(weight.tensor.type);
  const { group } = kind;
  const groups = columns / group;
  const layout = quantisedLayout(kind, form);
  const planes = layout.planes.map((plane, i): NamedPlane => {
    const packed = layout.planes.length === 1 ? name : `${name}.${i === 0 ? 'high' : 'low'}`;
    const zero = plane.zeroPoint !== 'default' && { zero: `${packed}.zero` };
    return { ...plane, packed, scale: `${packed}.scale`, ...zero };
  });
  const min = layout.min ? `${name}.min` : undefined;
  const declared: DeclaredWeight[] = planes.flatMap(({ bits, packed, scale, zero, zeroPoint }) => [
    { name: packed, type: 'uint8', shape: [rows, groups, (group * bits) / 8] },
    { name: scale, type: 'float32', shape: [rows * groups] },
    ...(zero === undefined
      ? []
      : zeroPoint === 'float'
        ? [{ name: zero, type: 'float32' as const, shape: [rows * groups] }]
        : [{ name: zero, type: 'uint8' as const, shape: [zeroPointBytes(rows, groups)] }]),
  ]);
  if (min) declared.push({ name: min, type: 'float32', shape: [rows, groups] });
  g.weights(declared, async () => {
    const loaded = await loadGroups(weight);
    const parts = planesOf(loaded, form).flatMap(({ packed, scale, zero }, i) => {
      const point = planes[i]!.zeroPoint;
      const zeros = zero ? bytesOf(zero) : new Uint8Array(zeroPointBytes(rows, groups));
      return point === 'default' ? [packed, bytesOf(scale)] : [packed, bytesOf(scale), zeros];
    });
    return min ? [...parts, bytesOf(loaded.min!)] : parts;
  });
  return { planes, group, groups, ...(min && { min }) };
}

function quantisedProduct(
  g: GraphBuilder,
  form: QuantisedForm,
  x: string,
  name: string,
  weight: Weight,
  output?: string,
): string {
  const [N, K] = weight.shape as [number, number];
  const { planes, min, group, groups } = quantisedWeight(g, form, name, weight);
  const single = planes.length === 1 && min === undefined;
  const terms = planes.map(({ bits, packed, scale, zero }) => {
    const inputs = zero ? [x, packed, scale, zero] : [x, packed, scale];
    return g.op('MatMulNBits', inputs, { K, N, bits, block_size: group }, single ? output : undefined);
  });
  if (min) {
    const sums = g.once(`sums of ${group} of ${x}`, () => {
      const grouped = g.op('Reshape', [x, g.integers([0, 0, groups, group])]);
      return g.op('ReduceSum', [grouped, g.integers([3])], { keepdims: 0 });
    });
    terms.push(g.op('FusedMatMul', [sums, min], { transB: 1 }));
  }
  while (terms.length > 1) {
    const [a, b] = terms.splice(0, 2) as [string, string];
    terms.unshift(g.op('Add', [a, b], {}, terms.length === 0 ? output : undefined));
  }
  return terms[0]!;
}

/** Rows `ids` [batch, sequence] of W [vocabulary, width]: [batch, sequence, width]. Quantised rows are unpacked after they are picked. */
export function embedding(
  g: GraphBuilder,
  options: LinearOptions,
  ids: string,
  name: string,
  weight: Weight,
): string {
  if (!isQuantised(weight) || options.dequantised) return g.op('Gather', [floatWeight(g, name, weight), ids]);
  const { planes, min, group, groups } = quantisedWeight(g, options.form, name, weight);
  const width = weight.shape[1]!;
  const perGroup = (initializer: string): string => {
    const table = g.once(`rows of ${initializer}`, () =>
      g.op('Reshape', [initializer, g.integers([-1, groups])]),
    );
    const rows = g.op('Gather', [table, ids]); // [batch, sequence, groups]
    return g.op('Unsqueeze', [rows, g.integers([3])]);
  };
  // the last plane has the scale of the whole weight
  const values = planes.map(({ bits, packed, zero, zeroPoint }, i) => {
    const rows = g.op('Gather', [packed, ids]); // [batch, sequence, groups, bytes]
    const q = bits === 8 ? g.op('Cast', [rows], { to: 1 }) : nibbles(g, rows, group);
    if (zeroPoint === 'float') return g.op('Sub', [q, perGroup(zero!)]);
    const centred = zeroPoint === 'zero' ? q : g.op('Sub', [q, g.floats([bits === 8 ? 128 : 8])]);
    return planes.length === 2 && i === 0 ? g.op('Mul', [centred, g.floats([16])]) : centred;
  });
  const q = values.length === 2 ? g.op('Add', values) : values[0]!;
  const scaled = g.op('Mul', [q, perGroup(planes.at(-1)!.scale)]);
  const shifted = min ? g.op('Add', [scaled, perGroup(min)]) : scaled;
  return g.op('Reshape', [shifted, g.integers([0, 0, width])]);
}

/** Two 4-bit numbers a byte, the even one low: [batch, sequence, groups, group] as float32. */
function nibbles(g: GraphBuilder, bytes: string, group: number): string {
  const whole = g.op('Cast', [bytes], { to: 1 });
  const high = g.op('Floor', [g.op('Mul', [whole, g.floats([1 / 16])])]);
  const low = g.op('Sub', [whole, g.op('Mul', [high, g.floats([16])])]);
  const parts = [low, high].map((part) => g.op('Unsqueeze', [part, g.integers([4])]));
  return g.op('Reshape', [g.op('Concat', parts, { axis: 4 }), g.integers([0, 0, 0, group])]);
}
