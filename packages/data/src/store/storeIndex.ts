/**
 * index.json of a store: what it holds and which shards are complete. Rewritten atomically after each shard, so it
 * never names one that is not there in full. A shard is a safetensors file with the tensors
 *
 *     activations [rows, width]      F16, BF16 or F32
 *     tokens      [rows, columns]    I32, the columns in the index's order; absent without columns
 *     checksums   [blocks, 8]        U8: XXH64, little-endian, of each block's token bytes followed by its activation bytes
 *
 * and the index holds the XXH64 of the shard's header and checksums: a chain from the index to every byte.
 */
import { msaeError, problems } from '@msae/schema';
import * as v from 'valibot';
import type { RandomAccess } from '../byteSource.ts';
import { dtypeBytes } from '../dtype.ts';
import { type TokenColumn, tokenColumns } from '../rows.ts';

export const storeFormat = 'msae-activation-store' as const;

/** A larger index is refused: it would describe more than 100 TB. */
const maxIndexBytes = 256 * 2 ** 20;

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const json: v.GenericSchema<unknown, JsonValue> = v.union([
  v.string(),
  v.number(),
  v.boolean(),
  v.null(),
  v.array(v.lazy(() => json)),
  v.record(
    v.string(),
    v.lazy(() => json),
  ),
]);

const shard: v.GenericSchema<unknown, ShardEntry> = v.object({
  // a plain name: nothing that leads out of the store's directory
  file: v.pipe(
    v.string(),
    v.check((name) => /^[\w-][\w.-]*$/.test(name), 'a plain file name'),
  ),
  rows: positive,
  bytes: positive,
  xxh64: v.pipe(
    v.string(),
    v.check((digits) => /^[0-9a-f]{16}$/.test(digits), '16 hexadecimal digits'),
  ),
});

const schema: v.GenericSchema<unknown, StoreIndex> = v.object({
  format: v.literal(storeFormat),
  version: v.literal(1),
  width: positive,
  dtype: v.picklist(['F16', 'BF16', 'F32']),
  columns: v.array(v.picklist(tokenColumns)),
  blockRows: positive,
  rows: count,
  complete: v.boolean(),
  position: json,
  metadata: v.record(v.string(), v.string()),
  shards: v.array(shard),
});

export interface ShardEntry {
  file: string;
  rows: number;
  bytes: number;
  /** Of the shard's header and checksums. */
  xxh64: string;
}

export interface StoreIndex {
  format: typeof storeFormat;
  version: 1;
  width: number;
  dtype: 'F16' | 'BF16' | 'F32';
  columns: TokenColumn[];
  /** Rows under one checksum. */
  blockRows: number;
  rows: number;
  /** Whether the writer was closed: false while it writes and after it was killed. */
  complete: boolean;
  /** What the writer's caller said about its own place after the last row; null when nothing. */
  position: JsonValue;
  metadata: Record<string, string>;
  shards: ShardEntry[];
}

/** Reads and checks an index; one Error names the file and the field. */
export async function readIndex(source: RandomAccess): Promise<StoreIndex> {
  const fail = (what: string): never => {
    throw msaeError('file', `${source.name}: not a valid store index: ${what}`);
  };
  if (source.size > maxIndexBytes) fail(`it has ${source.size} bytes, more than ${maxIndexBytes}`);
  const parse = async (): Promise<v.SafeParseResult<typeof schema>> => {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size));
      return v.safeParse(schema, JSON.parse(text)); // deep nesting overflows the stack: caught as well
    } catch (cause) {
      return fail(cause instanceof Error ? cause.message : String(cause));
    }
  };
  const result = await parse();
  if (!result.success) {
    const [{ path, says } = { path: '', says: 'is not an index' }] = problems(result.issues);
    return fail(`${path || 'the root'}: ${says}`);
  }
  const index = result.output;
  const rows = index.shards.reduce((sum, entry) => sum + entry.rows, 0);
  if (rows !== index.rows) fail(`rows: it says ${index.rows}, but the shards' rows add up to ${rows}`);
  const rowBytes = index.width * dtypeBytes[index.dtype] + 4 * index.columns.length;
  for (const { file, rows: shardRows, bytes } of index.shards) {
    if (shardRows * rowBytes > bytes)
      fail(`shards: ${file}: ${shardRows} rows of ${rowBytes} bytes do not fit ${bytes} bytes`);
  }
  if (new Set(index.shards.map((entry) => entry.file)).size !== index.shards.length) {
    fail('shards: a file is named twice');
  }
  if (new Set(index.columns).size !== index.columns.length) fail('columns: one is named twice');
  return index;
}
