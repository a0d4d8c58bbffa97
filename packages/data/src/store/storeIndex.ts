/**
 * index.json of a store: what it holds and which shards are complete. Rewritten atomically after each shard, so it
 * never names one that is not there in full. A shard is a safetensors file with the tensors
 *
 *     activations [rows, width]      F16, BF16 or F32
 *     tokens      [rows, columns]    I32, the columns in the index's order; absent without columns
 *     checksums   [blocks, 16]       U8: the first 16 bytes of SHA-256 of each block's token bytes, then activation bytes
 *
 * and the index holds the SHA-256 of the shard's header and checksums: a chain from the index to every byte.
 */
import * as v from 'valibot';
import type { RandomAccess } from '../byteSource.ts';
import { tokenColumns } from '../rows.ts';

export const storeFormat = 'msae-activation-store';

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
const json: v.GenericSchema<JsonValue> = v.union([
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

const shard = v.object({
  // a plain name: nothing that leads out of the store's directory
  file: v.pipe(v.string(), v.regex(/^[\w-][\w.-]*$/, 'expected a plain file name')),
  rows: positive,
  bytes: positive,
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')),
});

const schema = v.object({
  format: v.literal(storeFormat),
  version: v.literal(1),
  width: positive,
  dtype: v.picklist(['F16', 'BF16', 'F32']),
  columns: v.array(v.picklist(tokenColumns)),
  /** Rows under one checksum. */
  blockRows: positive,
  rows: count,
  /** Whether the writer was closed: false while it writes and after it was killed. */
  complete: v.boolean(),
  /** What the writer's caller said about its own place after the last row; null when nothing. */
  position: json,
  metadata: v.record(v.string(), v.string()),
  shards: v.array(shard),
});

export type StoreIndex = v.InferOutput<typeof schema>;
export type ShardEntry = v.InferOutput<typeof shard>;

/** Reads and checks an index; one Error names the file and the field. */
export async function readIndex(source: RandomAccess): Promise<StoreIndex> {
  const fail = (what: string): never => {
    throw new Error(`${source.name}: not a valid store index: ${what}`);
  };
  if (source.size > maxIndexBytes) fail(`it has ${source.size} bytes, more than ${maxIndexBytes}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size)));
  } catch (cause) {
    fail(cause instanceof Error ? cause.message : String(cause));
  }
  const result = v.safeParse(schema, value);
  if (!result.success) {
    const issue = result.issues[0];
    return fail(`${v.getDotPath(issue) ?? 'the root'}: ${issue.message}`);
  }
  const index = result.output;
  const rows = index.shards.reduce((sum, entry) => sum + entry.rows, 0);
  if (rows !== index.rows) fail(`rows: it says ${index.rows}, but the shards' rows add up to ${rows}`);
  if (new Set(index.shards.map((entry) => entry.file)).size !== index.shards.length) {
    fail('shards: a file is named twice');
  }
  if (new Set(index.columns).size !== index.columns.length) fail('columns: one is named twice');
  return index;
}
