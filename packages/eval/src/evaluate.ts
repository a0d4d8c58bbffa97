/** Runs an SAE of @msae/core over a stream of activations: the only file here that touches tfjs. */
import {
  type ActiveLatents,
  activationTraits,
  decodeActive,
  decodePrefixes,
  encode,
  encodeActive,
  fold,
  outputSite,
  type Sae,
} from '@msae/core';
import { encodeActiveKernel } from '@msae/core/backend';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { type ActiveRows, activeRows, concatActiveRows } from './activeRows.ts';
import {
  type Evaluation,
  type EvaluationOptions,
  evaluateLatents,
  type LatentSource,
} from './evaluateLatents.ts';
import type { EvaluationBatch } from './evaluationBatch.ts';
import type { Matrix } from './matrix.ts';
import type { Metric } from './metrics/definition.ts';
import type { StandardMetric } from './metrics/standard.ts';

/** Most numbers of dense latents [rows, N] on the device at once. */
const DENSE_NUMBERS = 1 << 23;

/**
 * Evaluates `sae` on `batches` of raw activations, one pass, on the current tfjs backend, through the sparse kernels where the
 * activation keeps few latents.
 *
 * @throws MsaeError `shape` for another width, `value` for an empty stream or numbers that are not finite, `option` for an
 * unknown option.
 *
 * @example
 * ```ts
 * const evaluation = await evaluate(trainer.sae, heldOut, { metrics: [...standardMetrics(), mine] });
 * console.table(evaluation.table);
 * ```
 */
export async function evaluate<M extends Metric = StandardMetric>(
  sae: Sae,
  batches: AsyncIterable<EvaluationBatch> | Iterable<EvaluationBatch>,
  options: EvaluationOptions<M> = {},
): Promise<Evaluation<M>> {
  return evaluateLatents(await saeLatents(sae), batches, options);
}

/** The latents of an SAE as plain arrays: its decoder, read once, and its encoder on the current backend. */
export async function saeLatents(sae: Sae): Promise<LatentSource> {
  const { input, nLatents } = sae.config;
  const columns = outputSite(sae.config).width;
  const folded = await fold(sae);
  return {
    nLatents,
    width: input.width,
    decoder: { data: await folded.W_dec(), rows: nLatents, columns },
    bias: await folded.b_dec(),
    maxRowNorm: maxRowNormOf(sae),
    encode: (batch) => (isDense(sae) ? encodeDense(sae, batch) : encodeSparse(sae, batch)),
    reconstruct: (batch, active, prefixes) =>
      isDense(sae) ? reconstructDense(sae, batch, prefixes) : reconstructSparse(sae, batch, active, prefixes),
  };
}

/** The longest row that training kept, where it left some out. */
function maxRowNormOf({ record }: Sae): number | null {
  const { maxRowNorm, leftOut } = record.training?.details ?? {};
  return typeof maxRowNorm === 'number' && typeof leftOut === 'number' && leftOut > 0 ? maxRowNorm : null;
}

/** Is every latent always active, so that there are no lists? */
function isDense({ config }: Sae): boolean {
  return activationTraits(config.activation).selectsAll;
}

async function encodeSparse(sae: Sae, batch: EvaluationBatch): Promise<ActiveRows> {
  const numbers = encodeActiveKernel.isOwn() ? 4 * DENSE_NUMBERS : DENSE_NUMBERS;
  return inSlices(sae, batch, numbers, async (slice) => {
    const lists = withBatch(slice, (x) => encodeActive(sae, x));
    try {
      const [indices, values, counts] = await Promise.all([
        lists.indices.data(),
        lists.values.data(),
        lists.counts.data(),
      ]);
      // where nobody could look at the counts in time, rows may have been cut
      if (counts.some((count) => count > lists.capacity)) return encodeDense(sae, slice);
      return listedRows({ indices, values, counts, capacity: lists.capacity }, lists.nLatents);
    } finally {
      lists.dispose();
    }
  });
}

/** Lists of fixed width as lists one after the other; entries of exactly 0 are not active. */
function listedRows(
  lists: {
    readonly indices: ArrayLike<number>;
    readonly values: ArrayLike<number>;
    readonly counts: ArrayLike<number>;
    readonly capacity: number;
  },
  nLatents: number,
): ActiveRows {
  const { capacity, counts } = lists;
  const rows = counts.length;
  const offsets = new Int32Array(rows + 1);
  let total = 0;
  for (let r = 0; r < rows; r++) total += counts[r]!;
  const indices = new Int32Array(total);
  const values = new Float32Array(indices.length);
  let next = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < counts[r]!; i++) {
      const value = lists.values[r * capacity + i]!;
      if (value === 0) continue;
      if (!Number.isFinite(value)) {
        throw msaeError(
          'value',
          `evaluate: a latent of row ${r} of a batch is ${value}; the SAE's weights or the activations are not finite`,
        );
      }
      indices[next] = lists.indices[r * capacity + i]!;
      values[next++] = value;
    }
    offsets[r + 1] = next;
  }
  return { rows, nLatents, offsets, indices: indices.subarray(0, next), values: values.subarray(0, next) };
}

/** x̂ of every prefix from the lists: a prefix is the lists with what lies beyond it set to 0. */
async function reconstructSparse(
  sae: Sae,
  batch: EvaluationBatch,
  active: ActiveRows,
  prefixes: readonly number[],
): Promise<Matrix[]> {
  let capacity = 1;
  for (let r = 0; r < active.rows; r++)
    capacity = Math.max(capacity, active.offsets[r + 1]! - active.offsets[r]!);
  const out: Matrix[] = [];
  for (const length of prefixes) {
    const xHat = withBatch(batch, (x) => {
      const lists = cutLists(active, length, capacity);
      return decodeActive(sae, lists, { x });
    });
    const data = (await xHat.data()) as Float32Array;
    out.push({ data, rows: batch.rows, columns: xHat.shape[1] });
    xHat.dispose();
  }
  return out;
}

/** Lists of the latents below `length`; call it inside a tidy. */
function cutLists(active: ActiveRows, length: number, capacity: number): ActiveLatents {
  const { rows, nLatents, offsets } = active;
  const indices = new Int32Array(rows * capacity).fill(nLatents);
  const values = new Float32Array(rows * capacity);
  const counts = new Int32Array(rows);
  for (let r = 0; r < rows; r++) {
    for (let at = offsets[r]!; at < offsets[r + 1]! && active.indices[at]! < length; at++) {
      const slot = r * capacity + counts[r]!++;
      indices[slot] = active.indices[at]!;
      values[slot] = active.values[at]!;
    }
  }
  return {
    indices: tf.tensor2d(indices, [rows, capacity], 'int32'),
    values: tf.tensor2d(values, [rows, capacity], 'float32'),
    counts: tf.tensor1d(counts, 'int32'),
    capacity,
    nLatents,
    dispose: () => {},
  };
}

async function encodeDense(sae: Sae, batch: EvaluationBatch): Promise<ActiveRows> {
  return inSlices(sae, batch, DENSE_NUMBERS, async (slice) => {
    const latents = withBatch(slice, (x) => encode(sae, x));
    const data = await latents.data();
    latents.dispose();
    return activeRows({ data, rows: slice.rows, columns: sae.config.nLatents });
  });
}

async function reconstructDense(
  sae: Sae,
  batch: EvaluationBatch,
  prefixes: readonly number[],
): Promise<Matrix[]> {
  const columns = outputSite(sae.config).width;
  const out = prefixes.map(() => new Float32Array(batch.rows * columns));
  let from = 0;
  for (const slice of slices(sae, batch, DENSE_NUMBERS)) {
    const rebuilt = withBatch(slice, (x) => decodePrefixes(sae, encode(sae, x), prefixes, { x }));
    for (const [p, tensor] of rebuilt.entries()) out[p]!.set(await tensor.data(), from * columns);
    tf.dispose(rebuilt);
    from += slice.rows;
  }
  return out.map((data) => ({ data, rows: batch.rows, columns }));
}

/** Encodes a batch in pieces whose latents are at most `numbers`, were all of them active. */
async function inSlices(
  sae: Sae,
  batch: EvaluationBatch,
  numbers: number,
  run: (slice: EvaluationBatch) => Promise<ActiveRows>,
): Promise<ActiveRows> {
  const parts: ActiveRows[] = [];
  for (const slice of slices(sae, batch, numbers)) parts.push(await run(slice));
  return parts.length === 1 ? parts[0]! : concatActiveRows(parts, sae.config.nLatents);
}

function* slices(
  { config }: Sae,
  { data, rows, width }: EvaluationBatch,
  numbers: number,
): Generator<EvaluationBatch> {
  const size = Math.max(1, Math.floor(numbers / config.nLatents));
  for (let from = 0; from < rows; from += size) {
    const to = Math.min(rows, from + size);
    yield { data: data.subarray(from * width, to * width), rows: to - from, width };
  }
}

/** Works on a batch as a tensor, which is freed afterwards; what `run` returns is kept. */
function withBatch<T extends tf.TensorContainer | ActiveLatents>(
  { data, rows, width }: EvaluationBatch,
  run: (x: tf.Tensor2D) => T,
): T {
  return tf.tidy(() => run(tf.tensor2d(data, [rows, width], 'float32')) as tf.TensorContainer) as T;
}
