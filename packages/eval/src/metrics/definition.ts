/** What a metric is: state, what a batch adds to it, its result, and the rows it has in a table. */
import type { ActiveRows } from '../activeRows.ts';
import type { EvaluationBatch } from '../evaluationBatch.ts';
import type { Matrix, Numbers } from '../matrix.ts';

/** What is known before the first batch. */
export interface MetricContext {
  /** N */
  readonly nLatents: number;
  /** d_out, the width of what is reconstructed */
  readonly width: number;
  /** [N, d_out] directions of the latents, in units of the activations, and what no latent gives [d_out] */
  readonly decoder: Matrix;
  readonly bias: Numbers;
  /** Prefix lengths that are reconstructed, ascending, the last one N. */
  readonly prefixes: readonly number[];
  /** Rows that will come, where that is known. */
  readonly totalRows?: number | undefined;
}

/** One batch with all that was made of it. */
export interface MetricBatch {
  /** [B, d_out] what is reconstructed */
  readonly x: Matrix;
  readonly active: ActiveRows;
  /** x̂ of every prefix of the context, each [B, d_out]; the last is the whole. */
  readonly rebuilt: readonly Matrix[];
  /** Tokens, positions and documents of the rows, where the stream has them. */
  readonly tokens: EvaluationBatch;
  /** Number of the batch's first row, counted over all batches. */
  readonly firstRow: number;
}

/** One number of a metric as people read it. */
export interface TableRow {
  readonly label: string;
  /** null: it was not measured, or is not finite. */
  readonly value: number | null;
  readonly better?: 'lower' | 'higher';
  /** The value is a share, to be shown in percent. */
  readonly percent?: boolean;
  /** One line: what it means. */
  readonly help: string;
}

/**
 * A metric of one SAE over one stream. `evaluate` takes any list of them: a result stands in the evaluation under the metric's
 * name, and its rows in every table that is made of it.
 */
export interface Metric<N extends string = string, S = unknown, R = unknown> {
  readonly name: N;
  start(context: MetricContext): S;
  add(state: S, batch: MetricBatch): void;
  /** Called once, after the last batch. */
  result(state: S): R;
  table?(result: R): readonly TableRow[];
}
