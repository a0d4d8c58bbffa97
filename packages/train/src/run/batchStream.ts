/**
 * One way to read every kind of source: an `ActivationSource`, or any sync or async iterable of arrays, tensors or
 * batches. It checks widths, remembers the position after each batch, and starts again or skips forward when told to.
 */
import type { ActivationBatch, ActivationSource, SourcePosition } from '@msae/data';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';

/** What an iterable source may yield: rows as a flat array, a tensor [B, d] (disposed of after its step), or a batch. */
export type BatchLike = Float32Array | tf.Tensor2D | ActivationBatch;

/** An iterable that can tell and set its position makes a resumed run exact without reading what was read before. */
export interface SeekableBatches {
  position?(): SourcePosition;
  seek?(position: SourcePosition): void;
}

export type BatchSource =
  | ActivationSource
  | ((Iterable<BatchLike> | AsyncIterable<BatchLike>) & SeekableBatches);

/** Rows on their way into a step. Exactly one of `data` and `tensor` is there. */
export interface Batch {
  readonly rows: number;
  readonly data?: Float32Array;
  readonly tensor?: tf.Tensor2D;
  /** Norms of the rows of `data`, where a part has computed them. */
  readonly norms?: Float64Array;
}

export interface BatchStream {
  /** The next batch, or null at the end of the source. Rejects with one clear error for a batch that does not fit. */
  next(): Promise<Batch | null>;
  /** Where the batch after the last one starts; null when the source cannot tell. */
  position(): SourcePosition | null;
  /** Batches handed out since the stream was opened, those that were skipped included. */
  readonly batches: number;
  close(): Promise<void>;
}

export interface BatchStreamOptions {
  readonly width: number;
  readonly batchSize: number;
  readonly repeat: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Continue here: seek where the source can, else skip `batches` batches. */
  readonly resume?: { readonly position: SourcePosition | null; readonly batches: number } | undefined;
}

/** Opens a source; `replayed` says that batches had to be read again to reach the position. */
export async function openBatches(
  source: BatchSource,
  options: BatchStreamOptions,
): Promise<{ stream: BatchStream; replayed: number }> {
  const { width, batchSize, repeat, signal, resume } = options;
  checkSource(source, width);
  const start = 'position' in source ? (source.position?.() ?? null) : null;
  const canSeek = 'seek' in source && typeof source.seek === 'function';
  let replay = 0;
  if (resume !== undefined && resume.batches > 0) {
    if (resume.position !== null && canSeek) source.seek?.(resume.position);
    else replay = resume.batches;
  }
  const iterate = (): Iterator<BatchLike> | AsyncIterator<BatchLike> =>
    'batches' in source
      ? source.batches({ batchSize, signal })[Symbol.asyncIterator]()
      : Symbol.asyncIterator in source
        ? source[Symbol.asyncIterator]()
        : source[Symbol.iterator]();
  let iterator = iterate();
  let batches = 0;
  let inThisPass = 0;
  const stream: BatchStream = {
    get batches() {
      return batches;
    },
    async next() {
      for (;;) {
        const step = iterator.next();
        const result = step instanceof Promise ? await step : step;
        if (result.done !== true) {
          batches++;
          inThisPass++;
          return toBatch(result.value, width, batches);
        }
        // A pass that yielded nothing would repeat for ever. A generator cannot start again: its second pass is empty.
        if (!repeat || inThisPass === 0) return null;
        inThisPass = 0;
        if (start !== null && canSeek) source.seek?.(start);
        iterator = iterate();
      }
    },
    position: () => ('position' in source ? (source.position?.() ?? null) : null),
    async close() {
      await iterator.return?.();
    },
  };
  for (let i = 0; i < replay; i++) {
    const skipped = await stream.next();
    skipped?.tensor?.dispose();
    if (skipped === null) {
      throw msaeError(
        'shape',
        `source: it ended after ${i} batches, but the checkpoint was written after ${replay}; resume with the source that the run started with`,
      );
    }
  }
  if (replay === 0 && resume !== undefined) batches = resume.batches;
  return { stream, replayed: replay };
}

function checkSource(source: BatchSource, width: number): void {
  const iterable =
    source !== null &&
    typeof source === 'object' &&
    ('batches' in source || Symbol.asyncIterator in source || Symbol.iterator in source);
  if (!iterable || source instanceof Float32Array || source instanceof tf.Tensor) {
    throw msaeError(
      'shape',
      'source: expected an ActivationSource, or an iterable (sync or async) of Float32Array, Tensor2D or ActivationBatch',
    );
  }
  if ('width' in source && typeof source.width === 'number' && source.width !== width) {
    throw msaeError(
      'shape',
      `source: its rows are ${source.width} wide, but the SAE's dModel is ${width}; use activations of the same place, or an SAE of that width`,
    );
  }
}

function toBatch(value: BatchLike, width: number, number: number): Batch {
  if (value instanceof tf.Tensor) {
    if (value.rank !== 2 || value.shape[1] !== width || value.shape[0] < 1 || value.dtype !== 'float32') {
      throw msaeError(
        'shape',
        `source: batch ${number} is a ${value.dtype} tensor of shape [${value.shape.join(', ')}]; expected float32 [rows, ${width}]`,
      );
    }
    return { rows: value.shape[0], tensor: value };
  }
  const batch = value as ActivationBatch | Float32Array;
  const data = batch instanceof Float32Array ? batch : batch?.data;
  if (!(data instanceof Float32Array)) {
    throw msaeError(
      'shape',
      `source: batch ${number} is neither a Float32Array, nor a Tensor2D, nor an ActivationBatch`,
    );
  }
  if (!(batch instanceof Float32Array) && batch.width !== width) {
    throw msaeError(
      'shape',
      `source: batch ${number} has rows of width ${batch.width}, but the SAE's dModel is ${width}`,
    );
  }
  if (data.length === 0)
    throw msaeError('shape', `source: batch ${number} is empty; every batch needs at least one row`);
  if (data.length % width !== 0) {
    throw msaeError(
      'shape',
      `source: batch ${number} has ${data.length} values, which is not a whole number of rows of width ${width}`,
    );
  }
  return { rows: data.length / width, data };
}
