/**
 * The contract between what makes activations and what trains on them: batches of rows, a known width, and a
 * position that is a small JSON value. `seek(position())` on a fresh source of the same data continues bit for bit.
 */
import { check, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import { signalSchema } from './options.ts';

/** Rows of activations, row-major. The arrays belong to the receiver: a source never writes to them again. */
export interface ActivationBatch {
  /** [rows, width] */
  data: Float32Array;
  rows: number;
  width: number;
  /** [rows] id of the token each row was computed at */
  tokenIds?: Int32Array;
  /** [rows] position of that token in its context */
  positions?: Int32Array;
  /** [rows] which document it came from */
  docIds?: Int32Array;
}

/** What `position()` returns: JSON, small, meaningful only to a source of the same kind over the same data. */
export type SourcePosition = Readonly<Record<string, string | number | boolean | null | readonly number[]>>;

export interface BatchesOptions {
  /** Rows per batch. The last batch of a finite source may be shorter. */
  batchSize: number;
  signal?: AbortSignal | undefined;
}

export interface ActivationSource {
  /** Columns of every batch (d_model). */
  readonly width: number;
  /** Rows in one pass; absent when the source does not end. */
  readonly length?: number;
  /** Batches from the current position on. One iteration at a time. */
  batches(options: BatchesOptions): AsyncIterable<ActivationBatch>;
  /** Where the next batch starts: counts the batches that were handed out, not what was prefetched. */
  position(): SourcePosition;
  /** Continues from a `position()`; throws on one that does not fit this source. */
  seek(position: SourcePosition): void;
}

const batchesSchema: Schema<BatchesOptions> = object<BatchesOptions>({
  batchSize: whole({ min: 1, help: 'rows of a batch' }),
  signal: optional(signalSchema),
});

/** What `batches` was given. @throws MsaeError `option` */
export function checkBatches(options: BatchesOptions): BatchesOptions {
  return check(batchesSchema, options, 'batches');
}

/** Throws on the first NaN or infinity, naming row and column. `firstRow` is the row number of data[0]. */
export function checkFinite(data: Float32Array, width: number, where: string, firstRow = 0): void {
  if (allFinite(data)) return;
  const i = data.findIndex((value) => !Number.isFinite(value));
  throw msaeError(
    'value',
    `${where}: row ${firstRow + Math.floor(i / width)}, column ${i % width} is ${data[i]}; activations must be finite`,
  );
}

/** x · 0 is 0 for finite x and NaN otherwise. Four sums at a time: 2.5 times as fast as a comparison each. */
function allFinite(data: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const even = data.length & ~3;
  for (let i = 0; i < even; i += 4) {
    a += data[i]! * 0;
    b += data[i + 1]! * 0;
    c += data[i + 2]! * 0;
    d += data[i + 3]! * 0;
  }
  for (let i = even; i < data.length; i++) a += data[i]! * 0;
  return a + b + c + d === 0;
}
