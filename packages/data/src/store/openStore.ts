/** A store of activations, opened for reading: any range of rows without loading a shard. */
import { check, flag, msaeError, object, optional, type Schema } from '@msae/schema';
import type { ReadOptions } from '../byteSource.ts';
import { signalSchema } from '../options.ts';
import { type ActivationRows, allocateTarget, checkRows, type RowTarget } from '../rows.ts';
import type { StoreDirectory } from './directory.ts';
import { openShard, type Scratch, type ShardReader } from './shardReader.ts';
import { readIndex, type StoreIndex } from './storeIndex.ts';

/** Shards that are kept open at a time. */
const maxOpenShards = 512;

export interface OpenStoreOptions extends ReadOptions {
  /** Check every block that is read against its checksum; default true. */
  verify?: boolean;
}

const schema: Schema<OpenStoreOptions> = object<OpenStoreOptions>({
  verify: optional(flag({ help: 'check what is read against its checksum' }), true),
  signal: optional(signalSchema),
});

export interface ActivationStore extends ActivationRows {
  readonly index: StoreIndex;
  /** Reads all rows against their checksums; throws at the first block that does not match. */
  verify(options?: ReadOptions): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a store.
 *
 * @throws when the index is missing or not valid, when the directory can be listed and lacks a shard, or when the
 *   largest shard is not what the index says (the others are checked when they are first read)
 */
export async function openStore(
  directory: StoreDirectory,
  given: OpenStoreOptions = {},
): Promise<ActivationStore> {
  const { verify = true, ...options } = check(schema, given, 'openStore');
  const indexFile = await directory.open('index.json', options);
  const index = await readIndex(indexFile).finally(() => indexFile.close?.());
  const { shards, width, columns, blockRows, rows } = index;
  if (directory.list) {
    const there = new Set(await directory.list());
    const missing = shards.filter((entry) => !there.has(entry.file)).map((entry) => entry.file);
    if (missing.length > 0) {
      const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
      throw msaeError(
        'file',
        `${directory.name}/${missing[0]}: this shard${more} is missing; the index names ${shards.length} shards`,
      );
    }
  }
  const shared = { verify, scratch: [] as Scratch };
  const open = openShards(directory, index, shared);
  const starts = shardStarts(index);

  if (shards.length > 0) {
    // the largest claim against its file: an index cannot make the sizes up
    const largest = shards.reduce((most, entry, i) => (entry.rows > shards[most]!.rows ? i : most), 0);
    await open.use(largest, async () => undefined);
  }

  const store: ActivationStore = {
    name: directory.name,
    width,
    length: rows,
    columns,
    blockRows,
    pieces: shards.map((entry) => entry.rows),
    index,
    async readInto(target: RowTarget, at, begin, end, readOptions) {
      checkRows(store, begin, end);
      for (let row = begin; row < end; ) {
        const shard = shardAt(starts, row);
        const first = starts[shard]!;
        const stop = Math.min(end, starts[shard + 1]!);
        readOptions?.signal?.throwIfAborted();
        await open.use(shard, (reader) =>
          reader.readInto(target, at + row - begin, row - first, stop - first, readOptions),
        );
        row = stop;
      }
    },
    async verify(readOptions) {
      if (!shared.verify)
        throw msaeError('state', `${directory.name}: opened with verify: false; open it without to verify`);
      const target = allocateTarget(store, Math.min(blockRows, rows));
      for (let row = 0; row < rows; ) {
        const end = Math.min(row + blockRows, starts[shardAt(starts, row) + 1]!);
        await store.readInto(target, 0, row, end, readOptions);
        row = end;
      }
    },
    close: () => open.close(),
  };
  return store;
}

/** First row of each shard, and the number of rows at the end. */
function shardStarts({ shards }: StoreIndex): number[] {
  const starts = [0];
  for (const entry of shards) starts.push(starts.at(-1)! + entry.rows);
  return starts;
}

function shardAt(starts: readonly number[], row: number): number {
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Closes a shard that could be opened. */
const closeReader = (reader: Promise<ShardReader>): Promise<void> =>
  reader.then((opened) => opened.close()).catch(() => undefined);

interface OpenShards {
  use<T>(shard: number, work: (reader: ShardReader) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Opens shards on first use and closes the one unused longest when too many are open. */
function openShards(
  directory: StoreDirectory,
  index: StoreIndex,
  options: { verify: boolean; scratch: Scratch },
): OpenShards {
  const open = new Map<number, { reader: Promise<ShardReader>; users: number }>(); // least recently used first
  const openOne = async (shard: number): Promise<ShardReader> => {
    const entry = index.shards[shard]!;
    const source = await directory.open(entry.file);
    try {
      return await openShard(source, entry, index, options);
    } catch (error) {
      await source.close?.();
      throw error;
    }
  };
  const evict = async (): Promise<void> => {
    for (const [shard, held] of open) {
      if (open.size <= maxOpenShards) return;
      if (held.users > 0) continue;
      open.delete(shard);
      await closeReader(held.reader);
    }
  };
  return {
    async use(shard, work) {
      const held = open.get(shard) ?? { reader: openOne(shard), users: 0 };
      open.delete(shard);
      open.set(shard, held);
      held.users++;
      try {
        return await work(await held.reader);
      } catch (error) {
        if (open.get(shard) === held) open.delete(shard); // opened anew when tried again
        throw error;
      } finally {
        held.users--;
        if (held.users === 0 && open.get(shard) !== held) await closeReader(held.reader);
        await evict();
      }
    },
    async close() {
      const all = [...open.values()];
      open.clear();
      for (const held of all) await closeReader(held.reader);
    },
  };
}
