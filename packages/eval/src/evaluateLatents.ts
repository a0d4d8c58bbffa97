/** One pass over a stream of activations that feeds every metric; knows nothing of tfjs (see evaluate.ts for the adaptor). */
import { checkPrefixes } from '@msae/sampler';
import {
  check,
  givenBy,
  list,
  msaeError,
  nullable,
  number,
  object,
  optional,
  type Schema,
  whole,
} from '@msae/schema';
import type { ActiveRows } from './activeRows.ts';
import { decodeActive } from './decodeActive.ts';
import type { EvaluationBatch } from './evaluationBatch.ts';
import type { Matrix, Numbers } from './matrix.ts';
import type { Metric, MetricContext, TableRow } from './metrics/definition.ts';
import { standardEntries } from './metrics/options.ts';
import {
  type MetricResults,
  type StandardMetric,
  type StandardMetricOptions,
  standardMetrics,
} from './metrics/standard.ts';
import { rowsWithin } from './rowsWithin.ts';

export interface EvaluationOptions<M extends Metric = StandardMetric> extends StandardMetricOptions {
  /** What to measure. Default: `standardMetrics` with these options. */
  readonly metrics?: readonly M[];
  /** Prefix lengths to report, ascending; N is added where it is missing. Default [N]. */
  readonly prefixes?: readonly number[];
  /**
   * Rows longer than this are left out and counted: those that training left out (massive activations). Default: what the SAE's
   * record says; null: none are left out.
   */
  readonly maxRowNorm?: number | null;
  /** Rows that will come, where known. */
  readonly totalRows?: number;
  /** Called after every batch with the rows so far. */
  readonly onProgress?: (rows: number) => void;
  readonly signal?: AbortSignal;
}

/** Checks {@link EvaluationOptions}. */
export const evaluationOptionsSchema: Schema<EvaluationOptions<Metric>> = object<EvaluationOptions<Metric>>({
  metrics: optional(
    list(givenBy<Metric>('a metric { name, start, add, result }', isMetric), { help: 'what to measure' }),
  ),
  prefixes: optional(list(whole({ min: 0 }), { help: 'prefix lengths to report, ascending' })),
  maxRowNorm: optional(
    nullable(number({ above: 0, help: "longer rows are left out; default: what the SAE's record says" })),
  ),
  totalRows: optional(whole({ min: 0, help: 'rows that will come' })),
  onProgress: optional(
    givenBy<(rows: number) => void>('a function', (value) => typeof value === 'function', {
      help: 'called after every batch with the rows so far',
    }),
  ),
  signal: optional(
    givenBy<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal, {
      help: 'ends the evaluation early',
    }),
  ),
  ...standardEntries,
});

/** The latents of an SAE, or of anything like one, as plain arrays. */
export interface LatentSource {
  readonly nLatents: number;
  /** d, the width of the activations that are encoded. */
  readonly width: number;
  /** [N, d_out] and [d_out], in units of the activations. */
  readonly decoder: Matrix;
  readonly bias: Numbers;
  /** Rows longer than this are not what it is for. */
  readonly maxRowNorm?: number | null;
  encode(batch: EvaluationBatch): ActiveRows | Promise<ActiveRows>;
  /** x̂ of every prefix, each [B, d_out]. Default: bias + Σ a_i · decoder row i. */
  reconstruct?(
    batch: EvaluationBatch,
    active: ActiveRows,
    prefixes: readonly number[],
  ): readonly Matrix[] | Promise<readonly Matrix[]>;
}

/** A row of the table of an evaluation, with the metric it belongs to. */
export interface EvaluationRow extends TableRow {
  readonly metric: string;
}

/** What is measured, under the metrics' names, and all of it that fits into a table. */
export type Evaluation<M extends Metric> = {
  readonly nLatents: number;
  /** d */
  readonly width: number;
  /** Rows that were measured. */
  readonly tokens: number;
  /** Rows that were left out because they are longer than `maxRowNorm`. */
  readonly leftOut: number;
  /** Every metric's rows, in the order of the metrics: what tables are made of. */
  readonly table: readonly EvaluationRow[];
} & MetricResults<M>;

/** An evaluation by the standard metrics. */
export type SaeEvaluation = Evaluation<StandardMetric>;

const OWN = ['nLatents', 'width', 'tokens', 'leftOut', 'table'];

/**
 * Evaluates latents on a stream, one pass. Memory: that of the metrics, and one batch.
 *
 * @throws MsaeError `shape` for a stream of another width, `value` for an empty stream or numbers that are not finite, `option`
 * for prefixes or metrics that cannot be.
 */
export async function evaluateLatents<M extends Metric = StandardMetric>(
  source: LatentSource,
  batches: AsyncIterable<EvaluationBatch> | Iterable<EvaluationBatch>,
  options: EvaluationOptions<M> = {},
): Promise<Evaluation<M>> {
  const { nLatents, width, decoder, bias } = source;
  check(evaluationOptionsSchema, options, 'evaluate');
  const metrics = metricsOf(options);
  checkNames(metrics);
  const prefixes = [...(options.prefixes ?? [])];
  if (prefixes.at(-1) !== nLatents) prefixes.push(nLatents);
  checkPrefixes({ lengths: prefixes, weights: prefixes.map(() => 1) }, nLatents);
  const columns = decoder.columns;
  const context: MetricContext = {
    nLatents,
    width: columns,
    decoder,
    bias,
    prefixes,
    totalRows: options.totalRows,
  };
  const states = metrics.map((metric) => metric.start(context));
  const limit = options.maxRowNorm === undefined ? (source.maxRowNorm ?? null) : options.maxRowNorm;
  let [rows, leftOut] = [0, 0];
  for await (const batch of batches) {
    options.signal?.throwIfAborted();
    if (batch.width !== width) {
      throw msaeError(
        'shape',
        `evaluate: the activations are ${batch.width} wide but the SAE was made for ${width}; give the SAE the layer it was trained on`,
      );
    }
    checkFinite(batch, rows);
    const target = batch.target ?? batch.data;
    if (target.length !== batch.rows * columns) {
      throw msaeError(
        'shape',
        `evaluate: the batch has ${target.length / batch.rows} numbers a row to compare with, the SAE writes ${columns}; a transcoder's batches need its target`,
      );
    }
    let kept = 0;
    for (const { batch: stretch, from } of rowsWithin(batch, limit)) {
      kept += stretch.rows;
      const active = await source.encode(stretch);
      const rebuilt = source.reconstruct
        ? await source.reconstruct(stretch, active, prefixes)
        : decodeActive({ active, decoder, bias, prefixes });
      const x: Matrix = { data: stretch.target ?? stretch.data, rows: stretch.rows, columns };
      metrics.forEach((metric, m) => {
        metric.add(states[m], { x, active, rebuilt, tokens: stretch, firstRow: rows + from });
      });
    }
    rows += batch.rows;
    leftOut += batch.rows - kept;
    options.onProgress?.(rows);
  }
  if (rows === 0) throw msaeError('value', 'evaluate: the stream holds no rows of activations');

  if (leftOut === rows) {
    throw msaeError(
      'value',
      `evaluate: all ${rows} rows are longer than ${limit}, what the SAE was trained on; is it another layer, or another scale? maxRowNorm: null measures them`,
    );
  }

  const results = metrics.map((metric, m) => metric.result(states[m]));
  const table = metrics.flatMap((metric, m) =>
    (metric.table?.(results[m]) ?? []).map(
      (row): EvaluationRow => ({ metric: metric.name, ...row, value: finite(row.value) }),
    ),
  );
  if (leftOut > 0) table.push(leftOutRow(leftOut / rows, limit!));
  const named = Object.fromEntries(metrics.map(({ name }, m) => [name, results[m]]));
  return { nLatents, width, tokens: rows - leftOut, leftOut, table, ...named } as Evaluation<M>;
}

function isMetric(value: unknown): boolean {
  const { start, add, result } = (value ?? {}) as Partial<Metric>;
  return [start, add, result].every((part) => typeof part === 'function');
}

function leftOutRow(share: number, limit: number): EvaluationRow {
  return {
    metric: 'rows',
    label: 'Rows left out',
    value: share,
    percent: true,
    help: `Rows longer than ${limit.toPrecision(3)}, as in training: massive activations, which would carry the variance`,
  };
}

/** The metrics that are given, or the standard ones. Options of the latter would have no effect beside the former. */
function metricsOf(options: EvaluationOptions<Metric>): readonly Metric[] {
  const given = Object.keys(standardEntries) as (keyof StandardMetricOptions)[];
  const standard: StandardMetricOptions = Object.fromEntries(
    given.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  );
  if (options.metrics === undefined) return standardMetrics(standard);
  const [unused] = Object.keys(standard);
  if (unused !== undefined) {
    throw msaeError(
      'option',
      `evaluate: ${unused} is an option of the standard metrics, which the list of metrics replaces; give it to them: metrics: [...standardMetrics({ ${unused} }), …]`,
    );
  }
  return options.metrics;
}

function finite(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

/** A NaN would make every mean NaN, without a word about where it was. */
function checkFinite({ data, width }: EvaluationBatch, firstRow: number): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw msaeError(
    'value',
    `evaluate: the activations are not finite: ${data[at]} in row ${firstRow + Math.floor(at / width)}, column ${at % width}`,
  );
}

function checkNames(metrics: readonly Metric[]): void {
  const seen = new Set(OWN);
  for (const { name } of metrics) {
    if (seen.has(name)) {
      throw msaeError(
        'option',
        `evaluate: two metrics are called ${name}, or it is a name of the evaluation itself (${OWN.join(', ')})`,
      );
    }
    seen.add(name);
  }
}
