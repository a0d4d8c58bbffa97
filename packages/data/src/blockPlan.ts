/**
 * Which row comes when: a pure function of (seed, epoch), so that a position in a shuffled stream is two numbers.
 *
 * Rows are cut into blocks of neighbours (cheap to read). A seeded permutation orders the blocks, consecutive blocks
 * of that order make a pool that fits the buffer, and a second seeded permutation orders the rows of a pool. Without
 * a seed both orders are the natural one.
 */
import { msaeError } from '@msae/schema';
import type { ActivationRows } from './rows.ts';
import { permutation, streamRng } from './seed.ts';

export interface Block {
  /** First row. */
  begin: number;
  rows: number;
}

/** Consecutive blocks of an epoch's order that are held in memory together. */
export interface Pool {
  index: number;
  /** Position in the epoch of the pool's first row. */
  begin: number;
  rows: number;
  blocks: readonly Block[];
}

/** An epoch's plan is held in memory; 2 TB at the default block size. */
const maxBlocks = 2 ** 24;

/** Cuts rows into blocks that do not cross pieces. */
export function cutBlocks(rows: ActivationRows, maxRows: number): Block[] {
  const step = Math.max(1, Math.min(rows.blockRows, maxRows));
  const count = (rows.pieces ?? [rows.length]).reduce((sum, piece) => sum + Math.ceil(piece / step), 0);
  if (count > maxBlocks) {
    throw msaeError(
      'option',
      `${rows.name}: ${rows.length} rows in blocks of ${step} are ${count} blocks; at most ${maxBlocks} are planned`,
    );
  }
  const blocks: Block[] = [];
  let begin = 0;
  for (const piece of rows.pieces ?? [rows.length]) {
    for (let at = 0; at < piece; at += step)
      blocks.push({ begin: begin + at, rows: Math.min(step, piece - at) });
    begin += piece;
  }
  return blocks;
}

/** The pools of one epoch, in order. */
export function planEpoch(
  blocks: readonly Block[],
  poolRows: number,
  seed: number | undefined,
  epoch: number,
): Pool[] {
  // when everything fits one pool the order of its rows is shuffle enough, and the pool can be kept between epochs
  const onePool = blocks.reduce((sum, block) => sum + block.rows, 0) <= poolRows;
  const order =
    seed === undefined || onePool ? undefined : permutation(blocks.length, streamRng(seed, epoch));
  const pools: Pool[] = [];
  let current: Block[] = [];
  let held = 0;
  let begin = 0;
  const close = (): void => {
    pools.push({ index: pools.length, begin, rows: held, blocks: current });
    begin += held;
    current = [];
    held = 0;
  };
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[order ? order[i]! : i]!;
    if (held + block.rows > poolRows) close();
    current.push(block);
    held += block.rows;
  }
  if (held > 0) close();
  return pools;
}

/** The order in which the rows of a pool are handed out; undefined is the natural one. */
export function poolOrder(pool: Pool, seed: number | undefined, epoch: number): Uint32Array | undefined {
  return seed === undefined ? undefined : permutation(pool.rows, streamRng(seed, epoch, pool.index + 1));
}
