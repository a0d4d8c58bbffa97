/** Reading a step's metrics: the one readback, and the place where a loss that is not finite gets its explanation. */

import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { checkFinite } from '../checks.ts';
import type { Sae } from '../model/sae.ts';
import type { MatryoshkaStep } from './step.ts';

/** A step's metrics as numbers. */
export interface StepMetrics {
  /** L = Σ_p w_p (R_p + λ S_p), plus the L0 penalty where there is one. */
  loss: number;
  /** Mean number of active latents of a row. */
  l0: number;
  /** Σ‖x − x̂‖² / Σ‖x − x̄‖² of the full prefix over this batch; NaN for a batch of equal rows. */
  fvu: number;
  /** One entry for each reported prefix, shortest first. */
  prefixes: { length: number; recon: number; sparsity: number; fvu: number }[];
}

/**
 * Reads the metrics of a step back.
 *
 * @param x the batch: with it and the SAE the error below can say which tensor went wrong
 * @throws MsaeError `value` if the loss is not finite, naming the tensor and index at fault where one is.
 */
export async function readMetrics(
  { metrics, reported }: Pick<MatryoshkaStep, 'metrics' | 'reported'>,
  { sae, x }: { sae?: Sae; x?: tf.Tensor } = {},
): Promise<StepMetrics> {
  const values = await metrics.data();
  const parsed = parseMetrics(values, reported);
  if (!Number.isFinite(parsed.loss)) {
    if (x && !x.isDisposed) await checkFinite('x', x);
    if (sae) for (const [name, param] of Object.entries(sae.params)) await checkFinite(name, param);
    throw msaeError(
      'value',
      `loss: ${parsed.loss} from finite inputs and weights; the numbers overflow float32 (rescale the activations), or (on webgpu) a row has more active latents than the sparse lists' capacity (raise it, or use the dense path)`,
    );
  }
  return parsed;
}

/** The numbers of a metrics tensor: [loss, L0, variance, R_1 … R_P, S_1 … S_P]. */
export function parseMetrics(values: ArrayLike<number>, reported: ArrayLike<number>): StepMetrics {
  const [loss, l0, variance] = [values[0]!, values[1]!, values[2]!];
  const P = reported.length;
  const prefixes = Array.from(reported, (length, j) => {
    const recon = values[3 + j]!;
    return { length, recon, sparsity: values[3 + P + j]!, fvu: recon / variance };
  });
  return { loss, l0, fvu: prefixes.at(-1)?.fvu ?? Number.NaN, prefixes };
}

/** Frees every tensor of a step. */
export function disposeStep(step: MatryoshkaStep): void {
  const { metrics, firings, residual, contributions, smallestKept } = step;
  tf.dispose([metrics, firings, residual, contributions, smallestKept].filter((t) => t !== undefined));
  tf.dispose(Object.values(step.grads));
}
