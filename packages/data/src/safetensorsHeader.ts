/**
 * The header of a safetensors file: u64 LE length, JSON, then raw C-order little-endian data. The file is treated as
 * hostile: everything the header claims is checked against the file's size before anything is allocated from it.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { msaeError } from '@msae/schema';
import type { RandomAccess, ReadOptions } from './byteSource.ts';
import { type Dtype, dtypeBytes, isDtype } from './dtype.ts';
import { duplicateKey } from './jsonKeys.ts';

/** Longer headers are refused; the reference implementation caps at 100 MB, real files stay below 1 MB. */
const maxHeaderBytes = 25_000_000;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** Absolute offset of the first byte in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the tensors' data starts: 8 + header length. */
  readonly dataOffset: number;
}

/** Reads and checks the header of `source`. */
export async function readSafetensorsHeader(
  source: RandomAccess,
  options: ReadOptions = {},
): Promise<SafetensorsHeader> {
  const fail = (what: string): never => {
    throw msaeError('file', `${source.name}: not a valid safetensors file: ${what}`);
  };
  if (source.size < 8) fail(`it has ${source.size} bytes, and the header length alone takes 8 (byte 0)`);
  const start = await source.read(0, 8, options);
  const claimed = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (claimed > BigInt(maxHeaderBytes)) {
    fail(`the header length (byte 0) claims ${claimed} bytes; at most ${maxHeaderBytes} are accepted`);
  }
  const length = Number(claimed);
  if (8 + length > source.size) {
    fail(
      `the header length (byte 0) claims ${length} bytes, but only ${source.size - 8} follow; the file is truncated or damaged`,
    );
  }
  const bytes = await source.read(8, length, options);
  let text = '';
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (cause) {
    fail(`the header (byte 8) is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (!isObject(json)) return fail('the header (byte 8) is not a JSON object');
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) fail(`the header names ${quote(duplicate)} twice`);
  return checkHeader(json, 8 + length, source.size, fail);
}

function checkHeader(
  json: Record<string, unknown>,
  dataOffset: number,
  fileSize: number,
  fail: (what: string) => never,
): SafetensorsHeader {
  const metadata: Record<string, string> = {};
  const infos: TensorInfo[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') {
      if (!isObject(value)) fail('__metadata__ must be an object of strings');
      for (const [key, text] of Object.entries(value as Record<string, unknown>)) {
        if (typeof text !== 'string') fail(`__metadata__.${key} must be a string`);
        Object.defineProperty(metadata, key, {
          value: text,
          enumerable: true,
          writable: true,
          configurable: true,
        });
      }
    } else {
      infos.push(checkTensor(name, value, dataOffset, fail));
    }
  }
  infos.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataOffset;
  for (const info of infos) {
    if (info.offset !== end) {
      const kind = info.offset < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      fail(
        `tensor ${quote(info.name)}: data_offsets ${kind}: it starts at byte ${info.offset}, expected ${end}`,
      );
    }
    end += info.byteLength;
    if (end > fileSize) {
      fail(
        `tensor ${quote(info.name)}: data_offsets end at byte ${end}, but the file has ${fileSize}; it is truncated or damaged`,
      );
    }
  }
  if (end !== fileSize)
    fail(`${fileSize - end} bytes after the last tensor's end (byte ${end}) belong to no tensor`);
  return { tensors: new Map(infos.map((info) => [info.name, info])), metadata, dataOffset };
}

function checkTensor(
  name: string,
  value: unknown,
  dataOffset: number,
  fail: (what: string) => never,
): TensorInfo {
  const label = `tensor ${quote(name)}`;
  if (!isObject(value)) return fail(`${label}: expected an object of dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) {
    return fail(`${label}: dtype ${quote(dtype)} is not one of ${Object.keys(dtypeBytes).join(' ')}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return fail(`${label}: shape ${quote(shape)} is not a list of whole numbers >= 0`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return fail(`${label}: data_offsets ${quote(offsets)} is not a pair of whole numbers >= 0`);
  }
  const size = elementCount(shape);
  const [begin, end] = offsets as [number, number];
  if (end < begin) fail(`${label}: data_offsets [${begin}, ${end}] end before they begin`);
  const byteLength = size * dtypeBytes[dtype];
  if (!Number.isSafeInteger(byteLength) || end - begin !== byteLength) {
    fail(
      `${label}: data_offsets span ${end - begin} bytes, but ${dtype} of shape [${shape.join(', ')}] needs ${byteLength}`,
    );
  }
  return { name, dtype, shape, size, offset: dataOffset + begin, byteLength };
}

/** Product of a shape; not a safe integer when it overflows (the caller checks). A zero makes it 0 whatever the rest. */
export function elementCount(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, n) => product * n, 1);
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value from the file as it appears in a message: JSON, cut short. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
