/** From a batch to what the SAE sees: checked, normalised, on the device. */
import { checkFinite } from '@msae/data';
import * as tf from '@tensorflow/tfjs-core';
import type { Batch } from './batchStream.ts';
import { geometricMedian } from './geometricMedian.ts';
import { meanRowNorm } from './normalizer.ts';
import type { Session } from './session.ts';

/** The normalised batch [B, d]; updates the normaliser. @throws Error for a value that is not finite (arrays only). */
export function normalizedInput(session: Session, batch: Batch): tf.Tensor2D {
  const { normalizer } = session;
  const width = session.sae.config.dModel;
  if (batch.tensor !== undefined) {
    return normalizer === null ? tf.clone(batch.tensor) : normalizer.updateTensor(batch.tensor);
  }
  const data = batch.data as Float32Array;
  const norm = meanRowNorm(data, width);
  // Not finite when some value is not: one pass serves the normaliser and the check.
  if (!Number.isFinite(norm)) checkFinite(data, width, `source: batch at step ${session.step + 1}`);
  const scale = normalizer?.updateHost(norm) ?? 1;
  const scaled = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) scaled[i] = (data[i] as number) * scale;
  return tf.tensor2d(scaled, [batch.rows, width]);
}

/** Puts b_dec at the geometric median of the first batch. */
export async function initDecoderBias(session: Session, batch: Batch): Promise<void> {
  const { options, normalizer, sae } = session;
  const width = sae.config.dModel;
  const data = batch.data ?? ((await batch.tensor?.data()) as Float32Array);
  const rows = options.decoderBiasInit === false ? 0 : Math.min(batch.rows, options.decoderBiasInit.rows);
  const median = geometricMedian(data.subarray(0, rows * width), width);
  const average = (await normalizer?.average()) ?? meanRowNorm(data, width);
  const scale = normalizer === null || average === 0 ? 1 : Math.sqrt(width) / average;
  const start = tf.tensor1d(median.map((value) => value * scale));
  sae.params.b_dec.assign(start);
  start.dispose();
}
