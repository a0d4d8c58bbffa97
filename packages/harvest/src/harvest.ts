/** Streams activations out of a model: a row for every token, padding left out. */

import { checkFinite, float16ToFloat32 } from '@msae/data';
import { check, givenBy, list, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import {
  type ContextBatch,
  type ContextOptions,
  contextBatches,
  contextEntries,
  contextOptions,
  type Documents,
} from './contexts.ts';
import { feedPlan } from './feeds.ts';
import type { TransformerModel } from './model.ts';
import { feedTraits, runBatch } from './positions.ts';
import type { OnnxTensor } from './runtime.ts';

export interface HarvestOptions extends ContextOptions {
  /** Tap names: `blocks.2.resid_post`, or any tensor of the graph. */
  taps: readonly string[];
  /** Ends after this many rows. */
  maxTokens?: number;
  /** Tokens that give no row, such as those that mark the start of a text. */
  skipTokenIds?: readonly number[];
  /** Starts at this row, as if the rows before had been streamed: how a harvest resumes. Default 0. */
  firstRow?: number;
  signal?: AbortSignal | undefined;
}

const rowLimit: Schema<number> = givenBy(
  'a whole number ≥ 1',
  (value) => value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && Number(value) >= 1),
  { help: 'ends after this many rows' },
);

/** Entries of the schemas of everything that runs a model over documents. */
export const runEntries: {
  readonly [K in 'contextLength' | 'batchSize' | 'sortWindow' | 'maxTokens']: Schema<number>;
} & { readonly skipTokenIds: Schema<readonly number[]>; readonly signal: Schema<AbortSignal> } = {
  ...contextEntries,
  maxTokens: optional(rowLimit),
  skipTokenIds: optional(list(whole(), { help: 'tokens that are left out' })),
  signal: optional(givenBy<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal)),
};

const schema: Schema<HarvestOptions> = object<HarvestOptions>({
  taps: list(text(), { help: 'names of taps' }),
  firstRow: optional(whole({ min: 0, help: 'goes on after this many rows' })),
  ...runEntries,
});

/** Rows in the order of contexts in the batch, within a context in reading order. */
export interface HarvestedBatch {
  rows: number;
  /** Number of the first row, counted from the start of the harvest. */
  firstRow: number;
  /** One entry a tap, in the order of `taps`. */
  activations: { tap: string; width: number; data: Float32Array /* [rows, width] */ }[];
  /** [rows] */
  tokenIds: Int32Array;
  /** [rows] position of the token in its document; contexts start at multiples of the context length */
  positions: Int32Array;
  /** [rows] */
  docIds: Int32Array;
}

/**
 * Runs a model over documents and yields what its taps compute. The order of the rows depends on the documents and
 * options alone, so a harvest that stopped after n rows goes on with `firstRow: n`.
 *
 * @throws MsaeError `option` when a tap is unknown (with the nearest names), `shape` when it is not one row a token or changes
 *   its width, `value` when it is not finite, `unsupported` when the model has an input that text
 *   cannot be fed to, does not run on contexts of that length, or would read padding
 */
export async function* harvest(
  model: TransformerModel,
  documents: Documents,
  options: HarvestOptions,
): AsyncGenerator<HarvestedBatch> {
  const {
    taps,
    maxTokens = Number.POSITIVE_INFINITY,
    firstRow = 0,
    signal,
    ...rest
  } = check(schema, options, 'harvest');
  if (taps.length === 0) throw msaeError('option', 'taps: expected at least one tap name');
  const tensors = taps.map(model.resolve);
  const { session, inputs } = await model.session(tensors);
  try {
    const plan = feedPlan(model.name, inputs, model.runtime, [], feedTraits(model));
    const skipped = new Set(rest.skipTokenIds);
    const widths = new Map<string, number>();
    let row = 0;
    for await (const batch of contextBatches(documents, plan, contextOptions(rest))) {
      if (row >= maxTokens) return;
      const kept = keptRows(batch, skipped);
      const start = row;
      row += kept.length;
      if (row <= firstRow) continue; // streamed before: not run again
      signal?.throwIfAborted();
      const rows = kept.subarray(Math.max(0, firstRow - start), Math.min(kept.length, maxTokens - start));
      const outputs = await runBatch(model, session, plan, batch);
      const activations = taps.map((tap, i) => {
        const { data, width } = rowsOf(outputs[tensors[i]!]!, batch, rows, `${model.name}: tap ${tap}`);
        const known = widths.get(tap) ?? width;
        if (known !== width)
          throw msaeError('shape', `${model.name}: tap ${tap} changed its width from ${known} to ${width}`);
        widths.set(tap, width);
        return { tap, width, data };
      });
      yield { rows: rows.length, firstRow: Math.max(start, firstRow), activations, ...tokensOf(batch, rows) };
    }
  } finally {
    await session.release();
  }
}

/** Indices into [batch, length] of the tokens that give a row. */
export function keptRows(batch: ContextBatch, skipped: ReadonlySet<number>): Int32Array {
  const kept: number[] = [];
  batch.contexts.forEach((context, b) => {
    for (let t = 0; t < context.ids.length; t++) {
      if (!skipped.has(context.ids[t]!)) kept.push(b * batch.length + t);
    }
  });
  return Int32Array.from(kept);
}

function tokensOf(
  batch: ContextBatch,
  rows: Int32Array,
): Pick<HarvestedBatch, 'tokenIds' | 'positions' | 'docIds'> {
  const context = (index: number) => batch.contexts[Math.floor(index / batch.length)]!;
  return {
    tokenIds: rows.map((index) => batch.ids[index]!),
    positions: rows.map((index) => context(index).start + (index % batch.length)),
    docIds: rows.map((index) => context(index).docId),
  };
}

/** Values of a floating tensor as float32. A view where they already are. */
export function float32Of(tensor: OnnxTensor, what: string): Float32Array {
  const { data } = tensor;
  if (data instanceof Float32Array) return data;
  if (tensor.type === 'float16' && ArrayBuffer.isView(data)) {
    return float16ToFloat32(new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2));
  }
  throw msaeError('shape', `${what} is ${tensor.type}; expected float32 or float16`);
}

/** Picks rows of a [batch, length, width] (or [batch * length, width]) tensor. */
export function rowsOf(
  tensor: OnnxTensor,
  batch: { batch: number; length: number },
  rows: Int32Array,
  what: string,
): { data: Float32Array; width: number } {
  const { dims } = tensor;
  const width = dims.at(-1) ?? 0;
  const leading = dims.slice(0, -1);
  const fits =
    (leading.length === 2 && leading[0] === batch.batch && leading[1] === batch.length) ||
    (leading.length === 1 && leading[0] === batch.batch * batch.length);
  if (!fits || width < 1) {
    throw msaeError(
      'shape',
      `${what} has shape [${dims.join(', ')}]; expected one row a token: [${batch.batch}, ${batch.length}, width]`,
    );
  }
  const values = float32Of(tensor, what);
  const data = new Float32Array(rows.length * width);
  // consecutive tokens are copied at once
  for (let i = 0; i < rows.length; ) {
    let end = i + 1;
    while (end < rows.length && rows[end]! === rows[end - 1]! + 1) end += 1;
    data.set(values.subarray(rows[i]! * width, (rows[end - 1]! + 1) * width), i * width);
    i = end;
  }
  checkFinite(data, width, what);
  return { data, width };
}
