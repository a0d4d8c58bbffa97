/**
 * Writes a store shard by shard. A shard is written to a temporary name and renamed, then the index is; what the index
 * names is committed. A killed writer is opened again with `existing: 'resume'` and goes on after `committed`.
 */
import {
  check,
  choice,
  givenBy,
  list,
  msaeError,
  number,
  object,
  optional,
  type Schema,
  whole,
} from '@msae/schema';
import { dtypeBytes } from '../dtype.ts';
import { blockRowsFor, type TokenColumn, tokenColumns } from '../rows.ts';
import { type ActivationBatch, checkFinite } from '../source.ts';
import type { WritableDirectory } from './directory.ts';
import { createShardBuffer, type ShardBuffer } from './shardBuffer.ts';
import { type JsonValue, readIndex, type StoreIndex, storeFormat } from './storeIndex.ts';

export interface StoreWriterOptions {
  /** Columns of the activations (d_model). */
  width: number;
  /** Type on disk; default F16. Values beyond 65,504 are refused in F16: use BF16 or F32 for them. */
  dtype?: 'F16' | 'BF16' | 'F32';
  /** The integer columns every batch will bring; default none. */
  columns?: readonly TokenColumn[];
  /** A shard is closed by the append that brings it to this size, bytes; default 32 MiB. The writer holds two. */
  shardBytes?: number;
  /** Free text about the origin. */
  metadata?: Readonly<Record<string, string>>;
  /** What to do with a store that is already there; default 'error'. */
  existing?: 'error' | 'resume' | 'replace';
  /** NaN and infinities: an error that names row and column (default), or written as they are. */
  nonFinite?: 'error' | 'pass';
}

export const storeWriterSchema: Schema<StoreWriterOptions> = object<StoreWriterOptions>({
  width: whole({ min: 1, help: 'columns of the activations' }),
  dtype: optional(choice(['F16', 'BF16', 'F32'], { help: 'type on disk' }), 'F16'),
  columns: optional(list(choice(tokenColumns), { help: 'integer columns that every batch brings' }), []),
  shardBytes: optional(number({ above: 0, help: 'size of a shard, bytes' }), 32 * 2 ** 20),
  metadata: optional(
    givenBy<Readonly<Record<string, string>>>(
      'texts by name',
      (value) =>
        typeof value === 'object' &&
        value !== null &&
        Object.values(value).every((v) => typeof v === 'string'),
      { help: 'about the origin' },
    ),
  ),
  existing: optional(
    choice(['error', 'resume', 'replace'], { help: 'what to do with a store that is there' }),
    'error',
  ),
  nonFinite: optional(choice(['error', 'pass'], { help: 'NaN and infinities' }), 'error'),
});

/** What is safe on disk. */
export interface Committed {
  rows: number;
  /** The `position` given with the append of the last committed row; null when none was. */
  position: JsonValue;
}

export interface StoreWriter {
  readonly committed: Committed;
  /** Rows taken so far, committed or not. */
  readonly rows: number;
  /**
   * Adds rows. `position` is the caller's own place after them; it comes back as `committed.position` once they are
   * safe. The rows of one append never end up in two shards, so a commit is always at the end of an append.
   */
  append(batch: ActivationBatch, options?: { position?: JsonValue }): Promise<void>;
  /** Commits what has been appended, as a shard of its own. */
  flush(): Promise<void>;
  /** Commits and marks the store complete. */
  close(): Promise<void>;
}

/**
 * Opens a store for writing.
 *
 * @throws MsaeError `option`; `state` when a store is there and `existing` is 'error', or has another width, dtype or columns
 *   and it is 'resume'
 */
export async function openStoreWriter(
  directory: WritableDirectory,
  given: StoreWriterOptions,
): Promise<StoreWriter> {
  const options = check(storeWriterSchema, given, directory.name);
  const { shardBytes = 32 * 2 ** 20, nonFinite = 'error' } = options;
  const index = await prepare(directory, options);
  const { width, columns, dtype } = index;
  const expectedRows = Math.ceil(shardBytes / (width * dtypeBytes[dtype] + 4 * columns.length));
  let filling: ShardBuffer = createShardBuffer(index, expectedRows);
  let spare: ShardBuffer | undefined;
  let position: JsonValue = index.position;
  let taken = index.rows;
  let commit: Promise<void> = Promise.resolve();
  let failure: unknown;

  /** Starts writing the filled shard; the next one fills meanwhile. */
  const startCommit = async (): Promise<void> => {
    await settled();
    if (filling.rows === 0) return;
    const sealed = filling;
    const at = position;
    filling = spare ?? createShardBuffer(index, expectedRows);
    spare = undefined;
    commit = writeShard(directory, index, sealed, at).then(
      () => {
        sealed.clear();
        spare = sealed;
      },
      (error: unknown) => {
        failure = error;
      },
    );
  };
  const settled = async (): Promise<void> => {
    await commit;
    if (failure) throw failure;
  };

  return {
    get committed() {
      return { rows: index.rows, position: index.position };
    },
    get rows() {
      return taken;
    },
    async append(batch, appendOptions = {}) {
      if (failure) throw failure;
      checkBatch(batch, index, directory.name, taken);
      if (batch.rows === 0) return;
      if (nonFinite === 'error') {
        const values = batch.data.subarray(0, batch.rows * width);
        if (dtype === 'F16') checkFloat16(values, width, directory.name, taken);
        else checkFinite(values, width, directory.name, taken);
      }
      filling.append(batch);
      taken += batch.rows;
      position = appendOptions.position ?? null;
      if (filling.bytes >= shardBytes) await startCommit();
    },
    async flush() {
      await startCommit();
      await settled();
    },
    async close() {
      await startCommit();
      await settled();
      index.complete = true;
      await writeIndex(directory, index);
    },
  };
}

/** The index to go on with: a new one, or that of the store to resume. Leaves no file the index does not name. */
async function prepare(directory: WritableDirectory, options: StoreWriterOptions): Promise<StoreIndex> {
  const { width, dtype = 'F16', columns = [], metadata = {}, existing = 'error' } = options;
  const files = await directory.list();
  let index: StoreIndex = {
    format: storeFormat,
    version: 1,
    width,
    dtype,
    columns: tokenColumns.filter((column) => columns.includes(column)),
    blockRows: blockRowsFor(width * dtypeBytes[dtype]),
    rows: 0,
    complete: false,
    position: null,
    metadata: { ...metadata },
    shards: [],
  };
  if (files.includes('index.json') && existing !== 'replace') {
    if (existing === 'error') {
      throw msaeError(
        'state',
        `${directory.name}: there is a store already; pass existing: 'resume' to go on with it or 'replace' to start anew`,
      );
    }
    const file = await directory.open('index.json');
    const found = await readIndex(file).finally(() => file.close?.());
    const shape = (of: StoreIndex): string =>
      `width ${of.width}, ${of.dtype}, columns [${of.columns.join(', ')}]`;
    if (shape(found) !== shape(index)) {
      throw msaeError(
        'state',
        `${directory.name}: cannot resume: the store has ${shape(found)}; these are ${shape(index)}`,
      );
    }
    index = { ...found, complete: false };
  }
  await writeIndex(directory, index);
  const named = new Set(index.shards.map((entry) => entry.file));
  for (const file of files) {
    if (/^(shard-\d+\.safetensors|index\.json\.)/.test(file) && !named.has(file))
      await directory.remove(file);
  }
  return index;
}

async function writeShard(
  directory: WritableDirectory,
  index: StoreIndex,
  buffer: ShardBuffer,
  position: JsonValue,
): Promise<void> {
  const file = `shard-${String(index.shards.length).padStart(6, '0')}.safetensors`;
  const { bytes, xxh64, chunks } = await buffer.seal();
  await directory.write(file, chunks);
  const { rows } = buffer;
  const next = {
    ...index,
    rows: index.rows + rows,
    position,
    shards: [...index.shards, { file, rows, bytes, xxh64 }],
  };
  await writeIndex(directory, next);
  Object.assign(index, next); // committed only now
}

async function writeIndex(directory: WritableDirectory, index: StoreIndex): Promise<void> {
  const text = `${JSON.stringify(index, null, 1)}\n`;
  await directory.write(
    'index.json',
    (async function* () {
      yield new TextEncoder().encode(text);
    })(),
  );
}

function checkBatch(batch: ActivationBatch, index: StoreIndex, name: string, row: number): void {
  const where = `${name}: the batch at row ${row}`;
  if (batch.width !== index.width) {
    throw msaeError(
      'shape',
      `${where} has width ${batch.width}, the store has ${index.width}; rows before it are kept`,
    );
  }
  if (batch.data.length < batch.rows * batch.width) {
    throw msaeError(
      'shape',
      `${where} has ${batch.data.length} values, ${batch.rows} rows of ${batch.width} need more`,
    );
  }
  for (const column of index.columns) {
    const values = batch[column];
    if (!values || values.length < batch.rows) {
      throw msaeError(
        'shape',
        `${where} has ${values ? `${values.length} values of` : 'no'} ${column} for ${batch.rows} rows`,
      );
    }
  }
}

/** Finite and within float16, in one pass. */
function checkFloat16(values: Float32Array, width: number, name: string, firstRow: number): void {
  for (let i = 0; i < values.length; i++) {
    if (Math.abs(values[i]!) < 65520) continue;
    checkFinite(values, width, name, firstRow);
    throw msaeError(
      'value',
      `${name}: row ${firstRow + Math.floor(i / width)}, column ${i % width} is ${values[i]}, beyond float16's 65504; write the store as BF16 or F32`,
    );
  }
}
