/**
 * Activations that are addressed by row: what every file format and store of this package opens as, and what
 * `streamRows` turns into a shuffled or sequential `ActivationSource`.
 */
import { msaeError } from '@msae/schema';
import type { ReadOptions } from './byteSource.ts';
import type { ActivationBatch } from './source.ts';

/** The integer columns that may accompany activations, one value a row. */
export type TokenColumn = 'tokenIds' | 'positions' | 'docIds';

export const tokenColumns: readonly TokenColumn[] = ['tokenIds', 'positions', 'docIds'];

/** Where rows are read to: arrays with room for a number of rows. Columns the rows do not have are left alone. */
export interface RowTarget {
  /** [capacity, width] */
  data: Float32Array;
  tokenIds?: Int32Array;
  positions?: Int32Array;
  docIds?: Int32Array;
}

export interface ActivationRows {
  /** What error messages call it. */
  readonly name: string;
  readonly width: number;
  /** Number of rows. */
  readonly length: number;
  /** Which columns there are beside the activations. */
  readonly columns: readonly TokenColumn[];
  /** Rows that are cheap to read together: the unit of the shuffle. */
  readonly blockRows: number;
  /** Row counts of the pieces (shards, row groups) blocks must not cross; absent: one piece. */
  readonly pieces?: readonly number[];
  /** Reads rows [begin, end) to row `at` of `target`. */
  readInto(target: RowTarget, at: number, begin: number, end: number, options?: ReadOptions): Promise<void>;
  close?(): Promise<void>;
}

/** Fresh arrays for `capacity` rows of `rows`. */
export function allocateTarget(rows: Pick<ActivationRows, 'width' | 'columns'>, capacity: number): RowTarget {
  const target: RowTarget = { data: new Float32Array(capacity * rows.width) };
  for (const column of rows.columns) target[column] = new Int32Array(capacity);
  return target;
}

/** Rows [begin, end) as a batch of their own. */
export async function readRows(
  rows: ActivationRows,
  begin = 0,
  end: number = rows.length,
  options: ReadOptions = {},
): Promise<ActivationBatch> {
  checkRows(rows, begin, end);
  const target = allocateTarget(rows, end - begin);
  await rows.readInto(target, 0, begin, end, options);
  return { ...target, rows: end - begin, width: rows.width };
}

/** Throws unless [begin, end) lies within the rows. */
export function checkRows(rows: { name: string; length: number }, begin: number, end: number): void {
  if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || end < begin || end > rows.length) {
    throw msaeError(
      'value',
      `${rows.name}: rows [${begin}, ${end}) were asked for, but there are rows 0 to ${rows.length}`,
    );
  }
}

/** A block is about this large unless the format has a unit of its own. */
const defaultBlockBytes: number = 1 << 17;

/** Rows of `rowBytes` bytes that make a block of about `defaultBlockBytes`. */
export function blockRowsFor(rowBytes: number): number {
  return Math.max(1, Math.floor(defaultBlockBytes / Math.max(1, rowBytes)));
}
