/** The trained SAE as host arrays that apply to raw activations. */
import type { SaeConfig } from '@msae/core';
import type { ParameterName } from './options.ts';
import type { Session } from './session.ts';

/** Weights on the host, row-major. */
export interface ExportedSae {
  readonly config: SaeConfig;
  /** `W_enc` [d, N], `b_enc` [N], `W_dec` [N, d], `b_dec` [d], `threshold` [N] for jumprelu. */
  readonly weights: Readonly<Record<Exclude<ParameterName, 'threshold'>, Float32Array>> & {
    readonly threshold?: Float32Array;
  };
  /** batchtopk: keep pre-activations above it. */
  readonly inferenceThreshold: number | null;
  /** The factor s that was folded in: training saw s·x. 1 without a normaliser. */
  readonly foldedInputScale: number;
  readonly step: number;
  readonly tokens: number;
}

/**
 * Folds the normaliser: with s = √d / average norm, training saw s·x, so W_enc ← s W_enc, W_dec ← W_dec / s,
 * b_dec ← b_dec / s; b_enc and thresholds keep their scale. Right with and without `applyBDecToInput`, because
 * (x − b_dec / s) · s W = (s x − b_dec) W.
 */
export async function exportSae(session: Session, options: { average?: boolean } = {}): Promise<ExportedSae> {
  const { sae, weightAverage } = session;
  if (options.average && weightAverage === null) {
    throw new Error('export: there are no averaged weights; train with the option weightAverage');
  }
  const scale = await inputScale(session);
  const factors: Partial<Record<ParameterName, number>> = {
    W_enc: scale,
    W_dec: 1 / scale,
    b_dec: 1 / scale,
  };
  const weights: Partial<Record<ParameterName, Float32Array>> = {};
  for (const [name, { param }] of session.optimizer.slots) {
    const variable = (options.average ? weightAverage?.variables.get(name) : undefined) ?? param;
    const factor = factors[name] ?? 1;
    weights[name] = Float32Array.from((await variable.data()) as Float32Array, (value) => value * factor);
  }
  return {
    config: sae.config,
    weights: weights as ExportedSae['weights'],
    inferenceThreshold: sae.inferenceThreshold,
    foldedInputScale: scale,
    step: session.step,
    tokens: session.tokens,
  };
}

/** s: √d / the normaliser's average norm; 1 without a normaliser. */
export async function inputScale({ normalizer, sae }: Session): Promise<number> {
  const average = (await normalizer?.average()) ?? null;
  return average === null ? 1 : Math.sqrt(sae.config.dModel) / Math.max(average, 1e-12);
}
