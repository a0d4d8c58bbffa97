/** A harvest on disk: one activation store a tap, committed shard by shard, resumed where it was left. */

import {
  type JsonValue,
  openStore,
  openStoreWriter,
  type StoreWriter,
  type WritableDirectory,
} from '@msae/data';
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
  text,
} from '@msae/schema';
import type { Documents } from './contexts.ts';
import { type HarvestedBatch, type HarvestOptions, harvest, runEntries } from './harvest.ts';
import type { TransformerModel } from './model.ts';

export interface HarvestToStoresOptions extends Omit<HarvestOptions, 'taps' | 'firstRow'> {
  /** Where each tap's store goes: `fileDirectory(path)` of `@msae/data/node`, `opfsDirectory`, `memoryDirectory`. */
  stores: readonly { tap: string; directory: WritableDirectory }[];
  /** Default F16. */
  dtype?: 'F16' | 'BF16' | 'F32';
  /** Bytes per shard; what a kill may lose and a resumed harvest computes again. Default 16 MiB. */
  shardBytes?: number;
  /** What the documents are (a name or a hash): kept in the store, and a resumed harvest insists on it. */
  origin: string;
  onProgress?: (progress: HarvestProgress) => void;
}

export interface HarvestProgress {
  /** Rows taken so far, those of earlier runs included. */
  rows: number;
  /** Rows this run computed. */
  newRows: number;
  seconds: number;
}

export interface HarvestResult extends HarvestProgress {
  /** False when the signal stopped it: run it again to go on. */
  complete: boolean;
  /** Rows that were there before this run. */
  resumedAt: number;
}

const isFunction = (value: unknown): boolean => typeof value === 'function';

export const harvestToStoresSchema: Schema<HarvestToStoresOptions> = object<HarvestToStoresOptions>({
  stores: list(
    object<HarvestToStoresOptions['stores'][number]>({
      tap: text({ help: 'name of the tap' }),
      directory: givenBy<WritableDirectory>('a directory of a store', (value) =>
        isFunction((value as Partial<WritableDirectory> | null)?.write),
      ),
    }),
    { help: 'where each tap’s store goes' },
  ),
  origin: text({ help: 'what the documents are' }),
  dtype: optional(choice(['F16', 'BF16', 'F32'], { help: 'type on disk' }), 'F16'),
  shardBytes: optional(number({ above: 0, help: 'bytes of a shard: what a kill may cost' }), 16 * 2 ** 20),
  onProgress: optional(givenBy<NonNullable<HarvestToStoresOptions['onProgress']>>('a function', isFunction)),
  ...runEntries,
});

interface Target {
  tap: string;
  directory: WritableDirectory;
  committed: number;
  width?: number;
  writer?: StoreWriter;
}

/**
 * Harvests into stores. Stores that are there already are resumed: rows are neither lost nor doubled, whatever moment
 * the last run was killed at. Aborting commits what was computed and returns with `complete: false`.
 *
 * @throws MsaeError `option`; `state` when a store that is there came of another model, tap, origin or way of batching; and what
 *   `harvest` throws.
 *   What was committed before stays valid.
 */
export async function harvestToStores(
  model: TransformerModel,
  documents: Documents,
  given: HarvestToStoresOptions,
): Promise<HarvestResult> {
  const options = check(harvestToStoresSchema, given, 'harvestToStores');
  const { stores, origin: _, dtype = 'F16', shardBytes = 0, onProgress, ...run } = options;
  const targets: Target[] = [];
  for (const { tap, directory } of stores) {
    targets.push({ tap, directory, ...(await resumePoint(directory, metadataOf(model, tap, options))) });
  }
  const resumedAt = Math.min(...targets.map((target) => target.committed));
  const started = performance.now();
  const progress: HarvestProgress = { rows: resumedAt, newRows: 0, seconds: 0 };
  const openWriter = async (target: Target, width: number): Promise<StoreWriter> => {
    target.writer ??= await openStoreWriter(target.directory, {
      width,
      dtype,
      shardBytes,
      columns: ['tokenIds', 'positions', 'docIds'],
      metadata: metadataOf(model, target.tap, options),
      existing: 'resume',
    });
    return target.writer;
  };
  let complete = true;
  const taps = targets.map((target) => target.tap);
  try {
    for await (const batch of harvest(model, documents, { ...run, taps, firstRow: resumedAt })) {
      for (const [i, target] of targets.entries()) {
        const skip = Math.max(0, target.committed - batch.firstRow);
        if (skip >= batch.rows) continue;
        const writer = await openWriter(target, batch.activations[i]!.width);
        const position: JsonValue = { rows: batch.firstRow + batch.rows };
        await writer.append(storeBatch(batch, i, skip), { position });
      }
      progress.rows = batch.firstRow + batch.rows;
      progress.newRows += batch.rows;
      progress.seconds = (performance.now() - started) / 1000;
      onProgress?.({ ...progress });
    }
  } catch (error) {
    // what was computed is kept, unless it is the writing that fails
    for (const { writer } of targets) await writer?.flush().catch(() => undefined);
    if (!run.signal?.aborted || error !== run.signal.reason) throw error;
    complete = false;
  }
  if (complete) {
    for (const target of targets) {
      if (!target.writer && target.width === undefined) continue; // no document, no row, no store
      await (await openWriter(target, target.width ?? 0)).close();
    }
  }
  progress.seconds = (performance.now() - started) / 1000;
  return { ...progress, complete, resumedAt };
}

/** What has to be the same for rows to continue. */
function metadataOf(
  model: TransformerModel,
  tap: string,
  options: HarvestToStoresOptions,
): Record<string, string> {
  return {
    tap,
    tensor: model.resolve(tap),
    modelSha256: model.fingerprint,
    origin: options.origin,
    contextLength: String(options.contextLength ?? 128),
    batchSize: String(options.batchSize ?? 32),
    sortWindow: String(options.sortWindow ?? 16),
    skipTokenIds: (options.skipTokenIds ?? []).join(' '),
  };
}

async function resumePoint(
  directory: WritableDirectory,
  metadata: Record<string, string>,
): Promise<{ committed: number; width?: number }> {
  if (!(await directory.list()).includes('index.json')) return { committed: 0 };
  const store = await openStore(directory);
  const { index } = store;
  await store.close();
  for (const [key, value] of Object.entries(metadata)) {
    const found = index.metadata[key];
    if (found !== value) {
      throw msaeError(
        'state',
        `${directory.name}: cannot resume: its ${key} is ${found ?? 'not recorded'}, this harvest's is ${value}; choose another folder, or remove that one`,
      );
    }
  }
  return { committed: index.rows, width: index.width };
}

function storeBatch(batch: HarvestedBatch, tap: number, skip: number): Parameters<StoreWriter['append']>[0] {
  const { width, data } = batch.activations[tap]!;
  return {
    data: data.subarray(skip * width),
    rows: batch.rows - skip,
    width,
    tokenIds: batch.tokenIds.subarray(skip),
    positions: batch.positions.subarray(skip),
    docIds: batch.docIds.subarray(skip),
  };
}
