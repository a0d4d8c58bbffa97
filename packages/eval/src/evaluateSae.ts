/** Runs an SAE of @msae/core over a stream of activations: the only file here that touches tfjs. */
import { encode, type Sae } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import { type ActiveRows, activeRows, concatActiveRows } from './activeRows.ts';
import { type EvaluationOptions, evaluateLatents, type LatentSource } from './evaluateLatents.ts';
import type { SaeEvaluation } from './evaluation.ts';
import type { EvaluationBatch } from './evaluationBatch.ts';

/** Most numbers of dense latents [rows, N] on the device at once. */
const DENSE_NUMBERS = 1 << 23;

/**
 * Evaluates `sae` on `batches`, one pass, on the current tfjs backend. The stream must be in the units the SAE was trained on (or
 * its normaliser folded into the weights). Throws a RangeError for another width, an empty stream or numbers that are not finite.
 */
export async function evaluateSae(
  sae: Sae,
  batches: AsyncIterable<EvaluationBatch> | Iterable<EvaluationBatch>,
  options: EvaluationOptions = {},
): Promise<SaeEvaluation> {
  return evaluateLatents(await saeLatents(sae), batches, options);
}

/** The latents of an SAE as plain arrays: its decoder, read once, and its encoder, run in slices that fit the device. */
export async function saeLatents(sae: Sae): Promise<LatentSource> {
  const { dModel, nLatents } = sae.config;
  const [decoder, bias] = await Promise.all([sae.params.W_dec.data(), sae.params.b_dec.data()]);
  const sliceRows = Math.max(1, Math.floor(DENSE_NUMBERS / nLatents));
  return {
    nLatents,
    dModel,
    decoder: { data: decoder, rows: nLatents, columns: dModel },
    bias,
    async encode({ data, rows }) {
      const parts: ActiveRows[] = [];
      for (let from = 0; from < rows; from += sliceRows) {
        const to = Math.min(rows, from + sliceRows);
        const slice = data.subarray(from * dModel, to * dModel);
        const latents = tf.tidy(() => encode(sae, tf.tensor2d(slice, [to - from, dModel], 'float32')));
        const dense = await latents.data();
        latents.dispose();
        parts.push(activeRows({ data: dense, rows: to - from, columns: nLatents }));
      }
      return parts.length === 1 ? parts[0]! : concatActiveRows(parts, nLatents);
    },
  };
}
