/**
 * The header of a NumPy .npy file: magic, version, length, and a Python dict literal of descr, fortran_order and shape.
 * Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { msaeError } from '@msae/schema';
import type { RandomAccess, ReadOptions } from '../byteSource.ts';
import { elementCount } from '../safetensorsHeader.ts';

/** NumPy's type characters this package reads: kind and bytes. */
type NpyType = 'f2' | 'f4' | 'f8' | 'i1' | 'i2' | 'i4' | 'i8' | 'u1' | 'u2' | 'u4' | 'u8' | 'b1';

export interface NpyHeader {
  type: NpyType;
  /** Bytes per element. */
  itemBytes: number;
  bigEndian: boolean;
  /** Column-major data. */
  fortranOrder: boolean;
  shape: readonly number[];
  /** Number of elements. */
  size: number;
  dataOffset: number;
}

/** A longer header is refused; NumPy's own stay below a few hundred bytes. */
const maxHeaderBytes = 65536;

const types = new Set<string>(['f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1']);

/** Reads and checks the header; the file must hold exactly the data it claims. */
export async function readNpyHeader(source: RandomAccess, options: ReadOptions = {}): Promise<NpyHeader> {
  const fail = (what: string): never => {
    throw msaeError('file', `${source.name}: not a valid npy file: ${what}`);
  };
  if (source.size < 10) fail(`it has ${source.size} bytes, a header takes at least 10 (byte 0)`);
  const start = await source.read(0, Math.min(12, source.size), options);
  if (String.fromCharCode(...start.subarray(0, 6)) !== '\x93NUMPY')
    fail('the magic (byte 0) is not \\x93NUMPY');
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const version = start[6]!;
  if (version < 1 || version > 3) fail(`format version ${version} (byte 6) is not 1, 2 or 3`);
  if (version > 1 && source.size < 12) fail('it ends within the header length (byte 8)');
  const prefix = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > maxHeaderBytes)
    fail(`the header length (byte 8) claims ${length} bytes; at most ${maxHeaderBytes} are accepted`);
  if (prefix + length > source.size) {
    fail(
      `the header length (byte 8) claims ${length} bytes, but only ${source.size - prefix} follow; the file is truncated`,
    );
  }
  const text = new TextDecoder(version === 3 ? 'utf-8' : 'latin1').decode(
    await source.read(prefix, length, options),
  );
  const { descr, fortranOrder, shape } = parseDict(text, fail);

  const match = /^([<>=|])([a-z]\d+)$/.exec(descr);
  const type = match?.[2] ?? '';
  if (!match || !types.has(type)) {
    const hint = descr.includes('O') ? ' (Python objects are never unpickled)' : '';
    fail(`descr ${JSON.stringify(descr)} is not one of ${[...types].join(' ')}${hint}`);
  }
  const itemBytes = Number(type.slice(1));
  const size = elementCount(shape);
  const bytes = size * itemBytes;
  const available = source.size - prefix - length;
  if (!Number.isSafeInteger(bytes) || bytes !== available) {
    fail(`shape (${shape.join(', ')}) of ${type} needs ${bytes} bytes, but ${available} follow the header`);
  }
  const bigEndian = match?.[1] === '>' && itemBytes > 1;
  return {
    type: type as NpyType,
    itemBytes,
    bigEndian,
    fortranOrder,
    shape,
    size,
    dataOffset: prefix + length,
  };
}

interface Fields {
  descr: string;
  fortranOrder: boolean;
  shape: number[];
}

/** The three fields of the dict, in any order; nothing else of Python is understood. */
function parseDict(text: string, fail: (what: string) => never): Fields {
  const fields = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1] ?? fail('the header is not a dict');
  const found: Partial<Fields> = {};
  const pattern = /\s*(?:(['"])(\w+)\1\s*:\s*(?:(['"])([^'"]*)\3|(True|False)|\(([\d,\sL]*)\)))\s*(?:,|$)/y;
  while (pattern.lastIndex < fields.length && fields.slice(pattern.lastIndex).trim() !== '') {
    const at = pattern.lastIndex;
    const match = pattern.exec(fields);
    if (!match) {
      const simple = /descr['"]\s*:\s*\[/.test(fields) ? ' (structured types are not read)' : '';
      return fail(
        `the header cannot be understood near ${JSON.stringify(fields.slice(at, at + 40))}${simple}`,
      );
    }
    const [, , key, , quoted, bool, tuple] = match;
    const repeated = (key === 'descr' && found.descr) || (key === 'shape' && found.shape);
    if (repeated) fail(`the header names ${key} twice`);
    if (key === 'descr' && quoted !== undefined) found.descr = quoted;
    else if (key === 'fortran_order' && bool) found.fortranOrder = bool === 'True';
    else if (key === 'shape' && tuple !== undefined) found.shape = parseShape(tuple, fail);
    else fail(`the header's field ${key} is not expected or has the wrong kind of value`);
  }
  const { descr, fortranOrder, shape } = found;
  if (descr === undefined || fortranOrder === undefined || shape === undefined) {
    return fail('the header lacks descr, fortran_order or shape');
  }
  return { descr, fortranOrder, shape };
}

function parseShape(tuple: string, fail: (what: string) => never): number[] {
  const parts = tuple.split(',').map((part) => part.trim().replace(/L$/, ''));
  if (parts.at(-1) === '') parts.pop();
  const shape = parts.map((part) => (/^\d+$/.test(part) ? Number(part) : Number.NaN));
  if (!shape.every(Number.isSafeInteger))
    fail(`shape (${tuple.slice(0, 60)}) is not a tuple of whole numbers`);
  return shape;
}
