/** One shard: opened and checked against the index, then read by row range, each block against its checksum. */
import { msaeError } from '@msae/schema';
import { type RandomAccess, type ReadOptions, readInto } from '../byteSource.ts';
import { dtypeBytes } from '../dtype.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../halfFloat.ts';
import type { RowTarget } from '../rows.ts';
import { readSafetensorsHeader, type TensorInfo } from '../safetensorsHeader.ts';
import { checksumBytes, loadChecksum, sameBytes, toHex } from './checksum.ts';
import type { ShardEntry, StoreIndex } from './storeIndex.ts';

export interface ShardReader {
  /** Reads rows [begin, end) of this shard to row `at` of `target`. */
  readInto(target: RowTarget, at: number, begin: number, end: number, options?: ReadOptions): Promise<void>;
  close(): Promise<void>;
}

/** Buffers that blocks are read into, used again and again. */
export type Scratch = Uint8Array[];

export async function openShard(
  source: RandomAccess,
  entry: ShardEntry,
  index: StoreIndex,
  { verify, scratch }: { verify: boolean; scratch: Scratch },
): Promise<ShardReader> {
  const { name } = source;
  const { width, dtype, columns, blockRows } = index;
  if (source.size !== entry.bytes) {
    throw msaeError(
      'file',
      `${name}: it has ${source.size} bytes, the index says ${entry.bytes}; the shard was altered or truncated`,
    );
  }
  const header = await readSafetensorsHeader(source);
  const tensor = (tensorName: string, expected: string, shape: readonly number[]): TensorInfo => {
    const info = header.tensors.get(tensorName);
    if (!info || info.dtype !== expected || info.shape.join() !== shape.join()) {
      const got = info ? `${info.dtype} [${info.shape.join(', ')}]` : 'nothing';
      throw msaeError(
        'file',
        `${name}: tensor ${tensorName}: the index says ${expected} [${shape.join(', ')}], the shard has ${got}`,
      );
    }
    return info;
  };
  const activations = tensor('activations', dtype, [entry.rows, width]);
  const tokens = columns.length > 0 ? tensor('tokens', 'I32', [entry.rows, columns.length]) : undefined;
  const blocks = Math.ceil(entry.rows / blockRows);
  const digests = tensor('checksums', 'U8', [blocks, checksumBytes]);
  const checksum = await loadChecksum();
  let checksums: Uint8Array | undefined;
  if (verify) {
    checksums = new Uint8Array(await source.read(digests.offset, digests.byteLength));
    const head = await source.read(0, header.dataOffset);
    if (toHex(checksum(head, checksums)) !== entry.xxh64) {
      throw msaeError(
        'file',
        `${name}: its header and checksums do not match the index; the shard was altered or damaged`,
      );
    }
  }
  const rowBytes = width * dtypeBytes[dtype];
  const tokenRowBytes = 4 * columns.length;

  /** Reads rows [begin, end) raw: token bytes, then activation bytes. */
  const readRaw = async (
    bytes: Uint8Array,
    begin: number,
    end: number,
    options?: ReadOptions,
  ): Promise<void> => {
    const split = (end - begin) * tokenRowBytes;
    const values = readInto(source, bytes.subarray(split), activations.offset + begin * rowBytes, options);
    if (!tokens) return values;
    const ids = readInto(source, bytes.subarray(0, split), tokens.offset + begin * tokenRowBytes, options);
    const results = await Promise.allSettled([values, ids]); // both done with the buffer before it goes back
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };

  /** Reads what is wanted of one block; all of it when it is to be verified. */
  const readBlock = async (
    target: RowTarget,
    at: number,
    [begin, end]: readonly [number, number],
    options?: ReadOptions,
  ): Promise<void> => {
    const block = Math.floor(begin / blockRows);
    const first = verify ? block * blockRows : begin;
    const last = verify ? Math.min(entry.rows, first + blockRows) : end;
    const size = (last - first) * (rowBytes + tokenRowBytes);
    const held = scratch.pop();
    const buffer = held && held.byteLength >= size ? held : new Uint8Array(size);
    try {
      const bytes = buffer.subarray(0, size);
      await readRaw(bytes, first, last, options);
      if (checksums) {
        const expected = checksums.subarray(block * checksumBytes, (block + 1) * checksumBytes);
        if (!sameBytes(checksum(bytes), expected)) {
          throw msaeError(
            'file',
            `${name}: rows ${first} to ${last - 1} (bytes ${activations.offset + first * rowBytes} to ${activations.offset + last * rowBytes - 1}) do not match their checksum; the shard was altered or damaged`,
          );
        }
      }
      const split = (last - first) * tokenRowBytes;
      const out = target.data.subarray(at * width, (at + end - begin) * width);
      decode(bytes, split + (begin - first) * rowBytes, dtype, out);
      const values = new Int32Array(bytes.buffer, bytes.byteOffset, split / 4);
      columns.forEach((column, c) => {
        const columnOut = target[column];
        if (!columnOut) return;
        for (let i = 0; i < end - begin; i++)
          columnOut[at + i] = values[(begin - first + i) * columns.length + c]!;
      });
    } finally {
      scratch.push(buffer);
    }
  };

  return {
    async readInto(target, at, begin, end, options) {
      const step = blockRows;
      for (let row = begin; row < end; ) {
        const stop = Math.min(end, (Math.floor(row / step) + 1) * step);
        await readBlock(target, at + row - begin, [row, stop], options);
        row = stop;
      }
    },
    close: async () => source.close?.(),
  };
}

/** Values of a dtype at `offset` of `bytes` into `out`. `offset` is a multiple of the element size. */
function decode(bytes: Uint8Array, offset: number, dtype: StoreIndex['dtype'], out: Float32Array): void {
  const { buffer } = bytes;
  const start = bytes.byteOffset + offset;
  if (dtype === 'F32') out.set(new Float32Array(buffer, start, out.length));
  else if (dtype === 'F16') float16ToFloat32(new Uint16Array(buffer, start, out.length), out);
  else bfloat16ToFloat32(new Uint16Array(buffer, start, out.length), out);
}
