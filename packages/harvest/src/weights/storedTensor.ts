/** A tensor where it lies in a file, and views of it: some of its rows, in another order, or transposed. Nothing is read before `load`. */
import { bytesToFloat32, float32ToBytes, type RandomAccess } from '@msae/data';
import { msaeError } from '@msae/schema';
import { dequantise, type QuantisedGroups, quantisedGroups, quantisedTypes } from './gguf/blocks.ts';
import type { GgmlType } from './gguf/types.ts';

export interface StoredTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly source: RandomAccess;
  /** Absolute offset in the source. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Rows of the first axis: a range, or each by its index. */
export type RowChoice = { readonly begin: number; readonly end: number } | Int32Array;

/** What the graph uses as one weight. */
export interface Weight {
  readonly tensor: StoredTensor;
  /** Shape of the view. */
  readonly shape: readonly number[];
  readonly rows?: RowChoice;
  /** The stored matrix is [in, out]; the view is [out, in]. Rows are those of the view. */
  readonly transposed?: boolean;
  /** Added to every value (Gemma's norms store the gain less one). */
  readonly plus?: number;
}

const floatTypes = ['F32', 'F16', 'BF16'] as const;

export function isQuantised(weight: Weight): boolean {
  return !floatTypes.some((name) => name === weight.tensor.type.name);
}

/** The whole tensor as a weight. */
export const whole = (tensor: StoredTensor): Weight => ({ tensor, shape: tensor.shape });

/** A view with some rows of `weight`. */
export function withRows(weight: Weight, rows: RowChoice): Weight {
  const count = rows instanceof Int32Array ? rows.length : rows.end - rows.begin;
  const total = weight.shape[0]!;
  const last = rows instanceof Int32Array ? Math.max(...rows) + 1 : rows.end;
  if (last > total || count < 1) {
    const { name, source } = weight.tensor;
    throw msaeError('file', `${source.name}: tensor ${name} has ${total} rows; ${last} were expected`, {
      file: source.name,
      tensor: name,
    });
  }
  return { ...weight, shape: [count, ...weight.shape.slice(1)], rows };
}

/** A view of a matrix stored as [in, out]. */
export function transposed(weight: Weight): Weight {
  const [input, output] = weight.shape as [number, number];
  return { ...weight, shape: [output, input], transposed: true };
}

/** The bytes of a weight's rows; the tensor's own order within a row. */
async function rowBytes({ tensor, rows, shape }: Weight): Promise<Uint8Array> {
  const { source, offset, byteLength } = tensor;
  if (rows === undefined) return source.read(offset, byteLength);
  const bytesOfRow = byteLength / tensor.shape[0]!;
  if (!(rows instanceof Int32Array)) {
    return source.read(offset + rows.begin * bytesOfRow, (rows.end - rows.begin) * bytesOfRow);
  }
  const all = await source.read(offset, byteLength);
  const out = new Uint8Array(shape[0]! * bytesOfRow);
  rows.forEach((row, i) => {
    out.set(all.subarray(row * bytesOfRow, (row + 1) * bytesOfRow), i * bytesOfRow);
  });
  return out;
}

/** Groups of a quantised weight. @throws MsaeError `unsupported` for types that are not read */
export async function loadGroups(weight: Weight): Promise<QuantisedGroups> {
  return quantisedGroups(await rowBytes(weight), weight.tensor.type, describe(weight));
}

const describe = ({ tensor }: Weight): string => `${tensor.source.name}: tensor ${tensor.name}`;

/** The values of any weight as bytes of float32: of an F32 tensor what was read, without a copy. */
export async function loadFloatBytes(weight: Weight): Promise<Uint8Array> {
  const plain = weight.tensor.type.name === 'F32' && !weight.transposed && weight.plus === undefined;
  if (!plain) return float32ToBytes(await loadFloats(weight), 'F32');
  const bytes = await rowBytes(weight);
  return bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
}

/** The values of any weight as float32. */
export async function loadFloats(weight: Weight): Promise<Float32Array> {
  const { tensor, plus } = weight;
  const float = floatTypes.find((name) => name === tensor.type.name);
  let values: Float32Array;
  if (float === undefined) values = dequantise(await loadGroups(weight));
  else if (weight.transposed) values = await transposedFloats(weight, float);
  else values = bytesToFloat32(await rowBytes(weight), float);
  if (plus !== undefined) for (let i = 0; i < values.length; i++) values[i]! += plus;
  return values;
}

async function transposedFloats(weight: Weight, dtype: (typeof floatTypes)[number]): Promise<Float32Array> {
  const { tensor, rows } = weight;
  const [input, output] = tensor.shape as [number, number];
  const all = bytesToFloat32(await tensor.source.read(tensor.offset, tensor.byteLength), dtype);
  const chosen =
    rows instanceof Int32Array
      ? rows
      : Int32Array.from(
          { length: (rows?.end ?? output) - (rows?.begin ?? 0) },
          (_, i) => i + (rows?.begin ?? 0),
        );
  const out = new Float32Array(chosen.length * input);
  chosen.forEach((row, r) => {
    for (let i = 0; i < input; i++) out[r * input + i] = all[i * output + row]!;
  });
  return out;
}

/** Throws for types that no weight can be read from, before anything is read. */
export function checkReadable(weight: Weight): void {
  const { name } = weight.tensor.type;
  if (!isQuantised(weight) || quantisedTypes.includes(name)) return;
  throw msaeError(
    'unsupported',
    `${describe(weight)} is ${name}; F32, F16, BF16, ${quantisedTypes.join(', ')} are read: convert the model to one of them`,
    { file: weight.tensor.source.name, tensor: weight.tensor.name },
  );
}
