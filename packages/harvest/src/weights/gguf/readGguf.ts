/**
 * GGUF files, read lazily: opening reads the header; tensors are read when they are asked for. The file is treated as
 * hostile: every count, size and offset is compared with the file's size first.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { type ByteInput, type RandomAccess, toRandomAccess } from '@msae/data';
import { msaeError } from '@msae/schema';
import { type Cursor, openCursor } from './cursor.ts';
import { type MetadataValue, readText, readValue } from './metadata.ts';
import { type GgmlType, ggmlType } from './types.ts';

export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Row-major: the last dimension varies fastest (GGUF lists it first). */
  readonly shape: readonly number[];
  /** Absolute offset of the first byte. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface Gguf {
  readonly name: string;
  readonly version: number;
  readonly source: RandomAccess;
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** In file order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Bytes of the header, up to where the tensors start. */
  readonly headerBytes: number;
}

const magic = 0x46554747; // "GGUF"
const maxDimensions = 4;

/** Whether bytes begin like a GGUF file. */
export function isGguf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true) === magic;
}

/**
 * Reads the header of a GGUF file (versions 2 and 3).
 *
 * @throws MsaeError `file` naming the byte, field or tensor at fault; `unsupported` for other versions and unknown types
 */
export async function readGguf(input: ByteInput, name?: string): Promise<Gguf> {
  const source = toRandomAccess(input, name);
  const cursor = openCursor(source);
  const fail = (message: string, details: object = {}) =>
    msaeError('file', `${source.name}: ${message}`, { file: source.name, ...details });
  await cursor.ensure(24, 'the GGUF header');
  if (cursor.u32() !== magic) throw fail('not a GGUF file: it does not begin with "GGUF"', { byte: 0 });
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const bigEndian = version % 65536 === 0;
    throw msaeError(
      'unsupported',
      `${source.name}: GGUF version ${bigEndian ? 'of big-endian byte order' : version}; versions 2 and 3, little-endian, are read`,
      { file: source.name, byte: 4 },
    );
  }
  const nTensors = cursor.u64('the number of tensors');
  const nFields = cursor.u64('the number of metadata fields');
  // the least that a field and a tensor take
  if (nFields * 13 + nTensors * 32 > cursor.remaining) {
    throw fail(
      `${nTensors} tensors and ${nFields} metadata fields are claimed, but the file ends after ${cursor.remaining} bytes: it is truncated or damaged`,
      { byte: 8 },
    );
  }
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < nFields; i++) {
    const key = await readText(source, cursor, `metadata field ${i + 1}`);
    if (metadata.has(key)) throw fail(`metadata ${key} is there twice`, { field: key });
    metadata.set(key, await readValue(source, cursor, `metadata ${key}`));
  }
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 8 || alignment % 8 !== 0) {
    throw fail(`general.alignment: expected a multiple of 8, got ${String(alignment)}`, {
      field: 'general.alignment',
    });
  }
  const entries: TensorEntry[] = [];
  for (let i = 0; i < nTensors; i++) entries.push(await tensorEntry(source, cursor, i, alignment));
  const headerBytes = cursor.offset;
  const start = Math.ceil(headerBytes / alignment) * alignment;
  return {
    name: source.name,
    version,
    source,
    metadata,
    tensors: placed(source, entries, start),
    headerBytes,
  };
}

type TensorEntry = GgufTensor; // `offset` still relative to the start of the data

async function tensorEntry(
  source: RandomAccess,
  cursor: Cursor,
  index: number,
  alignment: number,
): Promise<TensorEntry> {
  const name = await readText(source, cursor, `the name of tensor ${index + 1}`);
  const fail = (message: string) =>
    msaeError('file', `${source.name}: tensor ${name}: ${message} (byte ${cursor.offset})`, {
      file: source.name,
      tensor: name,
      byte: cursor.offset,
    });
  await cursor.ensure(4, `tensor ${name}`);
  const nDimensions = cursor.u32();
  if (nDimensions < 1 || nDimensions > maxDimensions) {
    throw fail(`${nDimensions} dimensions; expected 1 to ${maxDimensions}`);
  }
  await cursor.ensure(8 * nDimensions + 12, `tensor ${name}`);
  const shape: number[] = [];
  for (let d = 0; d < nDimensions; d++) shape.unshift(cursor.u64(`a dimension of tensor ${name}`));
  const number = cursor.u32();
  const offset = cursor.u64(`the offset of tensor ${name}`);
  const type = ggmlType(number);
  if (type === undefined) {
    throw msaeError('unsupported', `${source.name}: tensor ${name} has the unknown type ${number}`, {
      file: source.name,
      tensor: name,
    });
  }
  const size = shape.reduce((product, n) => product * n, 1);
  const row = shape.at(-1)!;
  if (size < 1 || !Number.isSafeInteger(size))
    throw fail(`shape [${shape.join(', ')}] has no or too many elements`);
  if (row % type.block !== 0) {
    throw fail(`rows of ${row} elements do not divide into blocks of ${type.block}, as ${type.name} needs`);
  }
  if (offset % alignment !== 0) throw fail(`offset ${offset} is no multiple of the alignment ${alignment}`);
  return { name, type, shape, offset, byteLength: (size / type.block) * type.bytes };
}

/** Tensors with absolute offsets, after checking that they lie in the file and nowhere overlap. */
function placed(
  source: RandomAccess,
  entries: readonly TensorEntry[],
  start: number,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const entry of entries) {
    const fail = (message: string) =>
      msaeError('file', `${source.name}: tensor ${entry.name} ${message}`, {
        file: source.name,
        tensor: entry.name,
      });
    const offset = start + entry.offset;
    if (tensors.has(entry.name)) throw fail('is there twice');
    if (offset + entry.byteLength > source.size) {
      throw fail(
        `(${entry.type.name} [${entry.shape.join(', ')}]) ends at byte ${offset + entry.byteLength}, but the file has ${source.size}: it is truncated or damaged`,
      );
    }
    tensors.set(entry.name, { ...entry, offset });
  }
  const ordered = [...tensors.values()].sort((a, b) => a.offset - b.offset);
  ordered.forEach((tensor, i) => {
    const next = ordered[i + 1];
    if (next && tensor.offset + tensor.byteLength > next.offset) {
      throw msaeError(
        'file',
        `${source.name}: tensors ${tensor.name} and ${next.name} overlap at byte ${next.offset}`,
        {
          file: source.name,
          tensor: next.name,
          byte: next.offset,
        },
      );
    }
  });
  return tensors;
}
