/**
 * A stream of batches over rows of any origin: shuffled or in order, prefetched, in bounded memory, and resumable bit
 * for bit from a position of a few numbers.
 */
import {
  check,
  choice,
  givenBy,
  msaeError,
  number,
  object,
  optional,
  type Schema,
  switchable,
  whole,
} from '@msae/schema';
import { cutBlocks, type Pool, planEpoch } from './blockPlan.ts';
import { createPoolReader, type LoadedPool } from './poolReader.ts';
import { type ActivationRows, tokenColumns } from './rows.ts';
import {
  type ActivationBatch,
  type ActivationSource,
  type BatchesOptions,
  checkBatches,
  type SourcePosition,
} from './source.ts';

export interface StreamRowsOptions {
  /** Seed of the shuffle; `false` (the default) hands rows out in their order. */
  shuffle?: number | false;
  /** Passes over the rows; default 1, Infinity never ends. Each epoch has an order of its own. */
  epochs?: number;
  /** Memory for the two pools together, bytes; default 48 MiB. Twice the memory, twice the mixing. */
  bufferBytes?: number;
  /** NaN and infinities: an error that names row and column (default), or let through. */
  nonFinite?: 'error' | 'pass';
}

export const streamRowsSchema: Schema<StreamRowsOptions> = object<StreamRowsOptions>({
  shuffle: optional(switchable(whole({ help: 'seed of the shuffle; false keeps the order' })), false),
  epochs: optional(
    givenBy<number>(
      'a whole number >= 1 or Infinity',
      (value) => value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && Number(value) >= 1),
      { help: 'passes over the rows' },
    ),
    1,
  ),
  bufferBytes: optional(number({ help: 'memory of the two pools, bytes' }), 48 * 2 ** 20),
  nonFinite: optional(choice(['error', 'pass'], { help: 'NaN and infinities' }), 'error'),
});

/**
 * How well a shuffled stream is mixed. Two rows of one pool come from the same block of neighbours with probability
 * `sameBlock`; a perfect shuffle of all rows would have `sameBlockIdeal`. When all rows fit one pool the two are
 * equal and the shuffle is perfect.
 */
export interface Mixing {
  poolRows: number;
  blockRows: number;
  blocksPerPool: number;
  sameBlock: number;
  sameBlockIdeal: number;
}

export interface StreamedRows extends ActivationSource {
  /** Rows in all epochs together; absent when there is no end. */
  readonly length?: number;
  /** Stated mixing quality. */
  readonly mixing: Mixing;
  close(): Promise<void>;
}

/**
 * Turns rows into a source of batches.
 *
 * @throws MsaeError `option`, `value` where there are no rows; on the first read: what the rows' format throws, or the first
 *   NaN or infinity by row and column
 */
export function streamRows(rows: ActivationRows, options: StreamRowsOptions = {}): StreamedRows {
  const {
    shuffle = false,
    epochs = 1,
    bufferBytes = 0,
    nonFinite = 'error',
  } = check(streamRowsSchema, options, 'streamRows');
  const seed = shuffle === false ? undefined : shuffle;
  if (rows.length === 0) throw msaeError('value', `${rows.name}: there are no rows to stream`);
  const rowBytes = 4 * (rows.width + rows.columns.length);
  const poolRows = Math.min(rows.length, Math.floor(bufferBytes / 2 / rowBytes));
  if (!(poolRows >= 1)) {
    throw msaeError(
      'option',
      `bufferBytes: ${bufferBytes} do not hold two rows of ${rowBytes} bytes; raise it`,
    );
  }
  const blocks = cutBlocks(rows, poolRows);
  const kind = seed === undefined ? 'rows' : 'shuffled-rows';
  // everything the order depends on: a position is refused by a stream whose order differs
  const key = [rows.length, rows.width, seed ?? -1, poolRows, blocks.length, blocks[0]!.rows];
  const plans = { epoch: -1, pools: [] as Pool[] };
  const planOf = (epoch: number): Pool[] => {
    if (plans.epoch !== epoch)
      Object.assign(plans, { epoch, pools: planEpoch(blocks, poolRows, seed, epoch) });
    return plans.pools;
  };
  let epoch = 0;
  let row = 0; // rows of this epoch already handed out
  let running = false;

  async function* batches(given: BatchesOptions): AsyncGenerator<ActivationBatch> {
    const { batchSize, signal } = checkBatches(given);
    if (running)
      throw msaeError('state', `${rows.name}: one iteration at a time; finish or leave the one before`);
    running = true;
    const reader = createPoolReader(rows, { capacity: poolRows, seed, signal, nonFinite });
    let loaded: LoadedPool | undefined;
    try {
      while (epoch < epochs) {
        signal?.throwIfAborted();
        const batch = emptyBatch(rows, Math.min(batchSize, rowsLeft(rows.length, epochs, epoch, row)));
        let nextEpoch = epoch;
        let nextRow = row;
        for (let filled = 0; filled < batch.rows; ) {
          const pool = poolAt(planOf(nextEpoch), nextRow);
          if (loaded?.pool !== pool) {
            loaded = await reader.load(pool, nextEpoch);
            const after = followingPool(planOf(nextEpoch), pool);
            if (after) reader.prefetch(after, nextEpoch);
          }
          const from = nextRow - pool.begin;
          const count = Math.min(batch.rows - filled, pool.rows - from);
          gather(loaded, from, batch, filled, count);
          filled += count;
          nextRow += count;
          if (nextRow === rows.length) {
            nextEpoch++;
            nextRow = 0;
          }
        }
        epoch = nextEpoch;
        row = nextRow;
        yield batch;
      }
    } finally {
      await reader.stop();
      running = false;
    }
  }

  return {
    width: rows.width,
    ...(epochs === Number.POSITIVE_INFINITY ? {} : { length: rows.length * epochs }),
    mixing: mixingOf(rows.length, poolRows, blocks[0]!.rows),
    batches,
    position: () => ({ kind, key, epoch, row }),
    seek(position: SourcePosition) {
      const { kind: otherKind, key: otherKey, epoch: e, row: r } = position;
      if (otherKind !== kind || JSON.stringify(otherKey) !== JSON.stringify(key)) {
        throw msaeError(
          'state',
          `${rows.name}: the position belongs to another stream (${describe(otherKind, otherKey)}; this one is ${describe(kind, key)}); open the same data with the same seed and bufferBytes`,
        );
      }
      if (
        !Number.isSafeInteger(e) ||
        !Number.isSafeInteger(r) ||
        (e as number) < 0 ||
        (r as number) < 0 ||
        (r as number) >= rows.length
      ) {
        throw msaeError(
          'state',
          `${rows.name}: the position's epoch ${e} and row ${r} do not fit ${rows.length} rows`,
        );
      }
      epoch = e as number;
      row = r as number;
    },
    async close() {
      await rows.close?.();
    },
  };
}

const rowsLeft = (length: number, epochs: number, epoch: number, row: number): number =>
  (epochs - epoch) * length - row;

function emptyBatch(rows: ActivationRows, count: number): ActivationBatch {
  const batch: ActivationBatch = {
    data: new Float32Array(count * rows.width),
    rows: count,
    width: rows.width,
  };
  for (const column of rows.columns) batch[column] = new Int32Array(count);
  return batch;
}

/** Copies rows [from, from + count) of a pool's order to row `at` of a batch. */
function gather(
  { order, target }: LoadedPool,
  from: number,
  batch: ActivationBatch,
  at: number,
  count: number,
): void {
  const { width, data } = batch;
  if (!order) data.set(target.data.subarray(from * width, (from + count) * width), at * width);
  else {
    for (let i = 0; i < count; i++) {
      const source = order[from + i]! * width;
      data.set(target.data.subarray(source, source + width), (at + i) * width);
    }
  }
  for (const column of tokenColumns) {
    const values = batch[column];
    const held = target[column];
    if (!values || !held) continue;
    for (let i = 0; i < count; i++) values[at + i] = held[order ? order[from + i]! : from + i]!;
  }
}

/** The pool that holds a row of the epoch's order (binary search). */
function poolAt(pools: readonly Pool[], row: number): Pool {
  let low = 0;
  let high = pools.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pools[middle]!.begin <= row) low = middle;
    else high = middle - 1;
  }
  return pools[low]!;
}

const followingPool = (pools: readonly Pool[], pool: Pool): Pool | undefined => pools[pool.index + 1];

function mixingOf(length: number, poolRows: number, blockRows: number): Mixing {
  const pair = (rows: number): number => (rows > 1 ? Math.min(1, (blockRows - 1) / (rows - 1)) : 0);
  return {
    poolRows,
    blockRows,
    blocksPerPool: Math.floor(poolRows / blockRows),
    sameBlock: pair(poolRows),
    sameBlockIdeal: pair(length),
  };
}

function describe(kind: unknown, key: unknown): string {
  const [length, width, seed, poolRows] = Array.isArray(key) ? key : [];
  return kind === 'shuffled-rows' || kind === 'rows'
    ? `${length} rows of width ${width}, ${kind === 'rows' ? 'in order' : `seed ${seed}`}, pools of ${poolRows} rows`
    : `kind ${String(kind)}`;
}
