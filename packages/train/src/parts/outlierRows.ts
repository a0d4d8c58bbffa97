/**
 * Massive activations: in every language model a few tokens (the first of a context, delimiters) have activations 5 to 160 times as
 * long as the rest (Sun et al. 2024, "Massive activations in large language models"). Squared, they carry nearly all the variance:
 * an SAE that explains them alone reaches an FVU of .001 and says nothing about the others. Rows longer than `factor` times the
 * running median are therefore left out: the place of one is taken by the row before it, so that batches keep their size.
 */
import { checkFinite } from '@msae/data';
import { number, object, optional, type Schema } from '@msae/schema';
import type { Batch } from '../run/batchStream.ts';
import type { PartDefinition } from './definition.ts';

export interface OutlierRowsOptions {
  /** Rows longer than this many times the median row are left out. Default 10. */
  readonly factor?: number;
}

const schema: Schema<OutlierRowsOptions> = object<OutlierRowsOptions>(
  {
    factor: optional(
      number({ above: 1, help: 'rows longer than this many times the median are left out' }),
      10,
    ),
  },
  { help: 'leave rows out that are far longer than the others; batches of arrays only' },
);

/** Share of the old median kept at each batch. */
const DECAY = 0.99;

export const outlierRowsPart: PartDefinition<OutlierRowsOptions> = {
  name: 'outlierRows',
  schema,
  start({ factor = 10 }, run) {
    const { width } = run.sae.config.input;
    let median: number | null = null;
    let [seen, leftOut] = [0, 0];
    let [isNew, isTold] = [false, false];
    let worst: Worst | null = null;
    return {
      input(batch) {
        if (batch.data === undefined) return batch;
        const norms = batch.norms ?? rowNorms(batch.data, width);
        // one that is not finite is a fault to be named, not a row to be left out
        if (!norms.every(Number.isFinite)) {
          checkFinite(batch.data, width, `source: batch at step ${run.step + 1}`);
        }
        const own = medianOf(norms);
        median = median === null ? own : DECAY * median + (1 - DECAY) * own;
        const limit = limitOf(median, factor);
        seen += batch.rows;
        const outside = norms.reduce((count, norm) => count + (norm > limit ? 1 : 0), 0);
        if (outside === 0) return { ...batch, norms };
        isNew = leftOut === 0;
        leftOut += outside;
        if (isNew) worst = worstOf(batch.data, norms, limit, median!, width);
        return without(batch, norms, limit, width);
      },
      async after() {
        if (!isNew || isTold) return undefined;
        isTold = true;
        const { rows, largest, share, batchRows } = worst!;
        return [
          {
            code: 'outlier-rows',
            message: `${rows} of ${batchRows} rows of a batch are over ${factor} times as long as the median row (the longest ${largest.toFixed(0)} times) and carry ${(100 * share).toFixed(1)} % of its variance; such rows are left out of training, and FVU is that of the others. outlierRows: false keeps them`,
          },
        ];
      },
      metrics: () => (leftOut === 0 ? {} : { own: { leftOut, share: leftOut / seen } }),
      details: () => ({ maxRowNorm: median === null || median === 0 ? null : factor * median, leftOut }),
      save: () => ({ json: { median, seen, leftOut, isTold } }),
      restore({ json }) {
        const saved = json as { median: number | null; seen: number; leftOut: number; isTold: boolean };
        ({ median, seen, leftOut, isTold } = saved);
      },
    };
  },
};

function limitOf(median: number | null, factor: number): number {
  return median === null || median === 0 ? Number.POSITIVE_INFINITY : factor * median;
}

/** Euclidean norms of rows, in float64. */
export function rowNorms(data: Float32Array, width: number): Float64Array {
  const norms = new Float64Array(data.length / width);
  for (let row = 0, i = 0; row < norms.length; row++) {
    let squares = 0;
    for (const end = i + width; i < end; i++) {
      const value = data[i]!;
      squares += value * value;
    }
    norms[row] = Math.sqrt(squares);
  }
  return norms;
}

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  const n = sorted.length;
  return (sorted[n >> 1]! + sorted[(n - 1) >> 1]!) / 2;
}

/** The batch with each row outside replaced by the last one before it that is inside (at the start: the first inside). */
function without({ rows, data }: Batch, norms: Float64Array, limit: number, width: number): Batch {
  const kept = data!.slice();
  const ownNorms = norms.slice();
  let last = norms.findIndex((norm) => !(norm > limit));
  if (last < 0) return { rows, data: kept, norms: ownNorms }; // not one inside: the median is below the limit, so this cannot be
  for (let row = 0; row < rows; row++) {
    if (!(norms[row]! > limit)) {
      last = row;
      continue;
    }
    kept.copyWithin(row * width, last * width, (last + 1) * width);
    ownNorms[row] = norms[last]!;
  }
  return { rows, data: kept, norms: ownNorms };
}

interface Worst {
  readonly rows: number;
  readonly batchRows: number;
  /** The longest, in medians. */
  readonly largest: number;
  /** Of the squared distances from the batch's mean. */
  readonly share: number;
}

function worstOf(
  data: Float32Array,
  norms: Float64Array,
  limit: number,
  median: number,
  width: number,
): Worst {
  const mean = new Float64Array(width);
  for (let i = 0; i < data.length; i++) mean[i % width]! += data[i]! / norms.length;
  let [inside, outside, rows] = [0, 0, 0];
  for (let row = 0; row < norms.length; row++) {
    let squares = 0;
    for (let j = 0; j < width; j++) squares += (data[row * width + j]! - mean[j]!) ** 2;
    if (norms[row]! > limit) {
      outside += squares;
      rows++;
    } else inside += squares;
  }
  const largest = norms.reduce((most, norm) => Math.max(most, norm), 0) / median;
  return { rows, batchRows: norms.length, largest, share: outside / (inside + outside) };
}
