/** The rows of the shard that is being filled, encoded as they will be on disk. */
import { bytesOf, dtypeBytes } from '../dtype.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../halfFloat.ts';
import { safetensorsChunks } from '../safetensorsWrite.ts';
import type { ActivationBatch } from '../source.ts';
import { type Checksum, checksumBytes, loadChecksum, toHex } from './checksum.ts';
import type { StoreIndex } from './storeIndex.ts';

type Layout = Pick<StoreIndex, 'width' | 'dtype' | 'columns' | 'blockRows'>;

export interface ShardBuffer {
  readonly rows: number;
  readonly bytes: number;
  append(batch: ActivationBatch): void;
  /** The finished shard: its bytes in chunks, its size and the digest for the index. */
  seal(): Promise<{ bytes: number; xxh64: string; chunks: AsyncIterable<Uint8Array> }>;
  clear(): void;
}

export function createShardBuffer(layout: Layout, expectedRows: number): ShardBuffer {
  const { width, dtype, columns, blockRows } = layout;
  const elementBytes = dtypeBytes[dtype];
  const rowBytes = width * elementBytes;
  let capacity = 0;
  let rows = 0;
  let activations = new Uint8Array(0);
  let tokens = new Int32Array(0);

  const reserve = (needed: number): void => {
    if (needed <= capacity) return;
    capacity = Math.max(needed, capacity === 0 ? expectedRows : Math.ceil(capacity * 1.25));
    const larger = new Uint8Array(capacity * rowBytes);
    larger.set(activations.subarray(0, rows * rowBytes));
    activations = larger;
    const moreTokens = new Int32Array(capacity * columns.length);
    moreTokens.set(tokens.subarray(0, rows * columns.length));
    tokens = moreTokens;
  };

  return {
    get rows() {
      return rows;
    },
    get bytes() {
      return rows * (rowBytes + 4 * columns.length);
    },
    append(batch) {
      reserve(rows + batch.rows);
      const data = batch.data.subarray(0, batch.rows * width);
      const start = rows * rowBytes;
      if (dtype === 'F32') activations.set(bytesOf(data), start);
      else {
        const out = new Uint16Array(activations.buffer, start, data.length);
        if (dtype === 'F16') float32ToFloat16(data, out);
        else float32ToBfloat16(data, out);
      }
      columns.forEach((column, c) => {
        const values = batch[column]!;
        for (let i = 0; i < batch.rows; i++) tokens[(rows + i) * columns.length + c] = values[i]!;
      });
      rows += batch.rows;
    },
    async seal() {
      const data = activations.subarray(0, rows * rowBytes);
      const ids = tokens.subarray(0, rows * columns.length);
      const checksum = await loadChecksum();
      const checksums = blockChecksums(checksum, data, ids, {
        rows,
        rowBytes,
        columns: columns.length,
        blockRows,
      });
      const { byteLength, chunks } = safetensorsChunks(
        [
          { name: 'activations', dtype, shape: [rows, width], data },
          ...(columns.length > 0 ? [{ name: 'tokens', shape: [rows, columns.length], data: ids }] : []),
          {
            name: 'checksums',
            shape: [checksums.length / checksumBytes, checksumBytes],
            data: checksums,
          },
        ],
        { metadata: { columns: columns.join(','), blockRows: String(blockRows) } },
      );
      const header = (await chunks().next()).value as Uint8Array;
      return { bytes: byteLength, xxh64: toHex(checksum(header, checksums)), chunks: chunks() };
    },
    clear() {
      rows = 0;
    },
  };
}

/** Checksum of each block's token bytes followed by its activation bytes. */
function blockChecksums(
  checksum: Checksum,
  data: Uint8Array,
  tokens: Int32Array,
  {
    rows,
    rowBytes,
    columns,
    blockRows,
  }: { rows: number; rowBytes: number; columns: number; blockRows: number },
): Uint8Array {
  const blocks = Math.ceil(rows / blockRows);
  const checksums = new Uint8Array(blocks * checksumBytes);
  for (let block = 0; block < blocks; block++) {
    const begin = block * blockRows;
    const end = Math.min(rows, begin + blockRows);
    const ids = bytesOf(tokens.subarray(begin * columns, end * columns));
    checksums.set(checksum(ids, data.subarray(begin * rowBytes, end * rowBytes)), block * checksumBytes);
  }
  return checksums;
}
