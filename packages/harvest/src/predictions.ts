/** Tokens that are predicted, and activations by row: what measuring a splice is made of. */
import { msaeError } from '@msae/schema';
import {
  type ContextBatch,
  type ContextOptions,
  contextBatches,
  contextOptions,
  type Documents,
} from './contexts.ts';
import { float32Of, keptRows, rowsOf } from './harvest.ts';
import { type Distribution, distribution } from './logProbabilities.ts';
import type { TransformerModel } from './model.ts';
import type { OnnxTensor } from './runtime.ts';
import type { SplicedModel } from './splice.ts';

/** [batch, length] the token that follows; -1 where none does. */
export function targetsOf(batch: ContextBatch): Int32Array {
  const targets = new Int32Array(batch.batch * batch.length).fill(-1);
  batch.contexts.forEach((context, b) => {
    targets.set(context.ids.subarray(1), b * batch.length);
    targets[b * batch.length + context.ids.length - 1] = context.next;
  });
  return targets;
}

/** Next-token distributions of a batch, at the tokens that another follows. @throws MsaeError `shape` unless the output is logits */
export function predictions(
  output: OnnxTensor,
  batch: ContextBatch,
  targets: Int32Array,
): { index: number; target: number; p: Distribution }[] {
  const logits = float32Of(output, 'the output');
  const vocabulary = output.dims.at(-1) ?? 0;
  const largest = targets.reduce((a, b) => Math.max(a, b), -1);
  if (logits.length !== batch.batch * batch.length * vocabulary || largest >= vocabulary) {
    throw msaeError(
      'shape',
      `the output has shape [${output.dims.join(', ')}]; expected logits [${batch.batch}, ${batch.length}, vocabulary > ${largest}]: name the output that holds them`,
    );
  }
  const found: { index: number; target: number; p: Distribution }[] = [];
  targets.forEach((target, index) => {
    if (target < 0) return;
    found.push({
      index,
      target,
      p: distribution(logits.subarray(index * vocabulary, (index + 1) * vocabulary)),
    });
  });
  return found;
}

/** [width] the mean of a tap over the rows that are spliced. */
export async function meanActivation(
  model: TransformerModel,
  spliced: SplicedModel,
  documents: Documents,
  options: ContextOptions & {
    readonly tap: string;
    readonly maxTokens?: number;
    readonly skipTokenIds?: readonly number[];
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Float32Array> {
  const { tap, maxTokens = Number.POSITIVE_INFINITY, signal } = options;
  const skipped = new Set(options.skipTokenIds);
  const { session } = await model.session([tap]);
  const tensor = model.resolve(tap);
  let sum = new Float64Array(0);
  let count = 0;
  try {
    for await (const batch of contextBatches(documents, spliced.plan, contextOptions(options))) {
      if (count >= maxTokens) break;
      signal?.throwIfAborted();
      const rows = keptRows(batch, skipped);
      const feeds = spliced.plan.feeds(batch);
      const fed = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]!]));
      const outputs = await session.run(fed);
      const { data, width } = rowsOf(outputs[tensor]!, batch, rows, `${model.name}: tap ${tap}`);
      if (sum.length === 0) sum = new Float64Array(width);
      for (let i = 0; i < data.length; i++) sum[i % width]! += data[i]!;
      count += rows.length;
    }
  } finally {
    await session.release();
  }
  return Float32Array.from(sum, (value) => value / Math.max(1, count));
}

/** A copy of [tokens, width] with some of its rows replaced. */
export function withRows(
  values: Float32Array,
  rows: Int32Array,
  replacement: Float32Array,
  width: number,
): Float32Array {
  const out = values.slice();
  rows.forEach((row, i) => {
    out.set(replacement.subarray(i * width, (i + 1) * width), row * width);
  });
  return out;
}

/** [rows, width] of one row. */
export function repeated(row: Float32Array, rows: number): Float32Array {
  const out = new Float32Array(rows * row.length);
  for (let i = 0; i < rows; i++) out.set(row, i * row.length);
  return out;
}
