/** Metadata values of a GGUF file. Whatever a count claims is compared with what the file holds before anything is allocated. */
import type { RandomAccess } from '@msae/data';
import { msaeError } from '@msae/schema';
import type { Cursor } from './cursor.ts';

export type MetadataArray =
  | readonly string[]
  | readonly MetadataValue[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

export type MetadataValue = number | boolean | string | MetadataArray;

const bool = 7;
const string = 8;
const array = 9;

/** Bytes of the types of fixed size. */
const sizes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** Longest text and deepest nesting that are read; real files stay far below. */
const maxText = 1 << 24;
const maxDepth = 4;

const decoder = new TextDecoder();

function fail(source: RandomAccess, cursor: Cursor, message: string, field: string): Error {
  return msaeError('file', `${source.name}: ${field}: ${message} (byte ${cursor.offset})`, {
    file: source.name,
    byte: cursor.offset,
    field,
  });
}

/** A string: u64 length, UTF-8. */
export async function readText(source: RandomAccess, cursor: Cursor, field: string): Promise<string> {
  if (cursor.buffered < 8) await cursor.ensure(8, field);
  const length = cursor.u64(`the length of ${field}`);
  if (length > maxText)
    throw fail(source, cursor, `a text of ${length} bytes; at most ${maxText} are read`, field);
  if (cursor.buffered < length) await cursor.ensure(length, field);
  return decoder.decode(cursor.take(length));
}

/** The value of a field whose type is read first. */
export async function readValue(source: RandomAccess, cursor: Cursor, field: string): Promise<MetadataValue> {
  await cursor.ensure(4, field);
  return valueOfType(source, cursor, field, cursor.u32(), 0);
}

async function valueOfType(
  source: RandomAccess,
  cursor: Cursor,
  field: string,
  type: number,
  depth: number,
): Promise<MetadataValue> {
  if (type === string) return readText(source, cursor, field);
  if (type === array) {
    if (depth >= maxDepth) throw fail(source, cursor, `lists within lists, deeper than ${maxDepth}`, field);
    await cursor.ensure(12, field);
    const inner = cursor.u32();
    const count = cursor.u64(`the count of ${field}`);
    const size = sizes[inner] ?? (inner === string ? 8 : inner === array ? 12 : 0);
    if (size === 0) throw fail(source, cursor, `a list of the unknown type ${inner}`, field);
    if (count * size > cursor.remaining) {
      const message = `a list of ${count} elements, but the file ends after ${cursor.remaining} bytes: it is truncated or damaged`;
      throw fail(source, cursor, message, field);
    }
    if (inner === string || inner === array) {
      const values: MetadataValue[] = [];
      for (let i = 0; i < count; i++) values.push(await valueOfType(source, cursor, field, inner, depth + 1));
      return values;
    }
    await cursor.ensure(count * size, field);
    return numbers(cursor.take(count * size), inner);
  }
  const size = sizes[type];
  if (size === undefined) throw fail(source, cursor, `the unknown type ${type}`, field);
  await cursor.ensure(size, field);
  const value = (numbers(cursor.take(size), type) as Uint8Array)[0]!;
  return type === bool ? value !== 0 : value;
}

/** Little-endian numbers; 64-bit whole numbers come as float64. */
function numbers(bytes: Uint8Array, type: number): MetadataArray {
  const { buffer } = bytes.slice(); // aligned, and no window kept alive
  switch (type) {
    case 1:
      return new Int8Array(buffer);
    case 2:
      return new Uint16Array(buffer);
    case 3:
      return new Int16Array(buffer);
    case 4:
      return new Uint32Array(buffer);
    case 5:
      return new Int32Array(buffer);
    case 6:
      return new Float32Array(buffer);
    case 10:
      return Float64Array.from(new BigUint64Array(buffer), Number);
    case 11:
      return Float64Array.from(new BigInt64Array(buffer), Number);
    case 12:
      return new Float64Array(buffer);
    default:
      return new Uint8Array(buffer);
  }
}
