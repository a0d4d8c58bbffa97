/**
 * Two buffers: rows are handed out of one while the next pool is read into the other. Memory is two pools, whatever
 * the size of the data.
 */
import { type Pool, poolOrder } from './blockPlan.ts';
import { type ActivationRows, allocateTarget, type RowTarget } from './rows.ts';
import { checkFinite } from './source.ts';

/** Block reads under way at a time. */
const concurrency = 8;

export interface LoadedPool {
  pool: Pool;
  /** Row order within the pool; undefined is the natural one. */
  order: Uint32Array | undefined;
  target: RowTarget;
}

export interface PoolReader {
  /** Starts reading a pool ahead; at most one is under way. */
  prefetch(pool: Pool, epoch: number): void;
  /** The pool, read now unless it was prefetched. Valid until the next call but one. */
  load(pool: Pool, epoch: number): Promise<LoadedPool>;
  /** Stops what is under way and waits for it. */
  stop(): Promise<void>;
}

export function createPoolReader(
  rows: ActivationRows,
  options: {
    capacity: number;
    seed: number | undefined;
    signal: AbortSignal | undefined;
    nonFinite: 'error' | 'pass';
  },
): PoolReader {
  const { capacity, seed } = options;
  const finite = options.nonFinite === 'error';
  const stopping = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stopping.signal]) : stopping.signal;
  const buffers: RowTarget[] = [];
  let turn = 0;
  let ahead: { pool: Pool; epoch: number; loaded: Promise<LoadedPool> } | undefined;
  let whole: RowTarget | undefined; // all the rows, once read, when one pool holds them

  const read = async (pool: Pool, epoch: number): Promise<LoadedPool> => {
    const order = poolOrder(pool, seed, epoch);
    if (whole) return { pool, order, target: whole };
    turn = 1 - turn;
    buffers[turn] ??= allocateTarget(rows, capacity);
    const target = buffers[turn]!;
    await readBlocks(rows, pool, target, { signal, finite });
    if (pool.rows === rows.length) whole = target;
    return { pool, order, target };
  };
  return {
    prefetch(pool, epoch) {
      const loaded = read(pool, epoch);
      loaded.catch(() => undefined); // reported by load(), or of no interest any more
      ahead = { pool, epoch, loaded };
    },
    load(pool, epoch) {
      const found = ahead?.pool === pool && ahead.epoch === epoch ? ahead.loaded : undefined;
      ahead = undefined;
      return found ?? read(pool, epoch);
    },
    async stop() {
      stopping.abort();
      await ahead?.loaded.catch(() => undefined);
    },
  };
}

async function readBlocks(
  rows: ActivationRows,
  pool: Pool,
  target: RowTarget,
  { signal, finite }: { signal: AbortSignal; finite: boolean },
): Promise<void> {
  const { width, name } = rows;
  let next = 0;
  let at = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < pool.blocks.length && !failed) {
      const block = pool.blocks[next++]!;
      const place = at;
      at += block.rows;
      signal.throwIfAborted();
      try {
        await rows.readInto(target, place, block.begin, block.begin + block.rows, { signal });
        const data = target.data.subarray(place * width, (place + block.rows) * width);
        if (finite) checkFinite(data, width, name, block.begin);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  // every worker is waited for, so that none writes to a buffer that is in use again
  const results = await Promise.allSettled(Array.from({ length: concurrency }, worker));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure) throw failure.reason;
}
