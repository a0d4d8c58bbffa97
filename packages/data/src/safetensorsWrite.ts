/**
 * Writes safetensors, in the order and alignment of the reference implementation (dtype rank descending, then name;
 * header padded with spaces to 8 bytes). Data may be given lazily and in chunks: nothing larger than a chunk is held,
 * so a file may be larger than memory.
 */
import { check, givenBy, msaeError, object, optional, type Schema } from '@msae/schema';
import { bytesOf, type Dtype, dtypeBytes, dtypeOf, float32ToBytes, type TypedArray } from './dtype.ts';
import { elementCount } from './safetensorsHeader.ts';

type Chunk = TypedArray | Uint8Array;

export interface TensorToWrite {
  name: string;
  shape: readonly number[];
  /** Defaults to that of a typed array; needed for chunks, and for F16 and BF16. */
  dtype?: Dtype;
  /**
   * A typed array of the dtype, or Float32Array for any floating dtype (converted), or a function giving them in
   * chunks. A Uint16Array holds the bits of F16 or BF16. A Uint8Array holds raw bytes.
   */
  data: TypedArray | (() => Iterable<Chunk> | AsyncIterable<Chunk>);
}

export interface WriteSafetensorsOptions {
  /** Stored as `__metadata__`: strings only. */
  metadata?: Readonly<Record<string, string>>;
}

const schema: Schema<WriteSafetensorsOptions> = object<WriteSafetensorsOptions>({
  metadata: optional(
    givenBy<Readonly<Record<string, string>>>(
      'texts by name',
      (value) =>
        typeof value === 'object' &&
        value !== null &&
        Object.values(value).every((v) => typeof v === 'string'),
      { help: 'stored as __metadata__' },
    ),
  ),
});

/** Where bytes go, in order. */
export interface ByteSink {
  write(bytes: Uint8Array): void | Promise<void>;
}

/** Order of the reference implementation's dtype enumeration. */
const rank: readonly Dtype[] = ['I64', 'F64', 'F32', 'I32', 'BF16', 'F16', 'I16', 'I8', 'U8', 'BOOL'];

/** Elements converted at a time. */
const chunkElements = 1 << 18;

/** The file's size and its bytes in chunks. Sizes are known before the first tensor's data is asked for. */
export function safetensorsChunks(
  tensors: readonly TensorToWrite[],
  options: WriteSafetensorsOptions = {},
): { byteLength: number; chunks: () => AsyncGenerator<Uint8Array> } {
  const ordered = tensors.map(withDtype).sort(byRankThenName);
  const { metadata } = check(schema, options, 'safetensors');
  const header = encodeHeader(ordered, metadata);
  const dataBytes = ordered.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const tensor of ordered) {
      let written = 0;
      const parts = typeof tensor.data === 'function' ? tensor.data() : [tensor.data];
      for await (const part of parts) {
        for (const bytes of encodeChunk(part, tensor)) {
          written += bytes.byteLength;
          if (written > tensor.byteLength) break;
          yield bytes;
        }
      }
      if (written !== tensor.byteLength) {
        const got = written > tensor.byteLength ? 'more' : `only ${written}`;
        throw msaeError(
          'shape',
          `tensor ${tensor.name}: ${tensor.dtype} of shape [${tensor.shape.join(', ')}] needs ${tensor.byteLength} bytes, got ${got}`,
        );
      }
    }
  }
  return { byteLength: header.byteLength + dataBytes, chunks };
}

/**
 * Writes a safetensors file to any sink; for a file on disk use `writeSafetensorsFile` of `@msae/data/node`.
 *
 * @returns the number of bytes written
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: readonly TensorToWrite[],
  options: WriteSafetensorsOptions = {},
): Promise<number> {
  const { byteLength, chunks } = safetensorsChunks(tensors, options);
  for await (const chunk of chunks()) await sink.write(chunk);
  return byteLength;
}

/** A safetensors file in memory. */
export async function encodeSafetensors(
  tensors: readonly TensorToWrite[],
  options: WriteSafetensorsOptions = {},
): Promise<Uint8Array> {
  const { byteLength, chunks } = safetensorsChunks(tensors, options);
  const out = new Uint8Array(byteLength);
  let offset = 0;
  for await (const chunk of chunks()) {
    out.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return out;
}

interface Sized extends TensorToWrite {
  dtype: Dtype;
  byteLength: number;
}

function withDtype(tensor: TensorToWrite): Sized {
  const { name, shape, data } = tensor;
  const dtype = tensor.dtype ?? (typeof data === 'function' ? undefined : dtypeOf(data));
  if (!dtype) throw msaeError('option', `tensor ${name}: data given in chunks needs its dtype named`);
  if (name === '__metadata__') throw msaeError('option', 'a tensor cannot be named __metadata__');
  const byteLength = elementCount(shape) * dtypeBytes[dtype];
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0) || !Number.isSafeInteger(byteLength)) {
    throw msaeError(
      'shape',
      `tensor ${name}: shape [${shape.join(', ')}] is not a list of whole numbers >= 0`,
    );
  }
  return { ...tensor, dtype, byteLength };
}

function byRankThenName(a: Sized, b: Sized): number {
  return rank.indexOf(a.dtype) - rank.indexOf(b.dtype) || (a.name < b.name ? -1 : 1);
}

function encodeHeader(tensors: readonly Sized[], metadata: WriteSafetensorsOptions['metadata']): Uint8Array {
  const entries: [string, unknown][] = metadata ? [['__metadata__', metadata]] : [];
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape, byteLength } of tensors) {
    if (names.has(name)) throw msaeError('option', `tensor ${name} is given twice`);
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + byteLength] }]);
    offset += byteLength;
  }
  // written entry by entry: an object would move integer-like names to the front
  const text = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const json = new TextEncoder().encode(text);
  const length = Math.ceil(json.byteLength / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

function* encodeChunk(part: Chunk, tensor: Sized): Generator<Uint8Array> {
  const { dtype, name } = tensor;
  const bits = part instanceof Uint16Array && (dtype === 'F16' || dtype === 'BF16');
  if (part instanceof Uint8Array || bits || dtypeOf(part) === dtype) {
    yield bytesOf(part);
  } else if (part instanceof Float32Array && dtype[0] !== 'I' && dtype !== 'BOOL') {
    for (let i = 0; i < part.length; i += chunkElements) {
      yield float32ToBytes(part.subarray(i, i + chunkElements), dtype);
    }
  } else {
    throw msaeError('option', `tensor ${name}: a ${part.constructor.name} cannot be written as ${dtype}`);
  }
}
