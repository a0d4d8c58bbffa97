/**
 * The weights of an SAE as another format wants them: input scale and decoder norms folded, b_dec subtracted from the
 * input or not. Every tensor is computed when it is asked for, so only one is in memory at a time.
 */
import type { Sae, SaeConfig } from '@msae/core';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { LoadedSae } from '../assemble.ts';
import type { Prefixed, TrainingRecord } from '../checkpoint.ts';
import { noPreprocessing, type Preprocessing } from '../preprocess.ts';

/** What is known about an SAE besides its weights. */
export interface ExportDetails {
  /** Prefixes it was trained with, and their weights. */
  prefixes?: Prefixed;
  /** The SAE was trained on inputScale·x (the trainer's normaliser: √d / average norm). Default 1. */
  inputScale?: number;
  preprocessing?: Preprocessing;
  training?: TrainingRecord;
  /** Where the activations come from: model_name, hook_name, context_size, dataset_path and the like. */
  metadata?: Readonly<Record<string, unknown>>;
}

export interface Exportable
  extends Required<Pick<ExportDetails, 'inputScale' | 'preprocessing' | 'metadata'>> {
  readonly sae: Sae;
  readonly config: SaeConfig;
  readonly skip: Tensor | null;
  readonly transcoder: boolean;
  readonly prefixes: Prefixed | null;
  readonly training: TrainingRecord | null;
}

/** A core SAE, or one that was loaded, with what was given besides. */
export function exportable(given: Sae | LoadedSae, details: ExportDetails): Exportable {
  const from = 'sae' in given ? given : undefined;
  const sae = from?.sae ?? (given as Sae);
  const { inputScale = 1 } = details;
  if (!(inputScale > 0) || !Number.isFinite(inputScale)) {
    throw new RangeError(`saveSae: inputScale must be a finite number > 0, got ${inputScale}`);
  }
  return {
    sae,
    config: sae.config,
    skip: from?.skip ?? null,
    transcoder: from?.architecture.endsWith('transcoder') ?? false,
    prefixes: details.prefixes ?? from?.prefixes ?? null,
    inputScale,
    preprocessing: details.preprocessing ?? from?.preprocessing ?? noPreprocessing,
    training: details.training ?? from?.training ?? null,
    metadata: { ...from?.metadata, ...details.metadata },
  };
}

export interface FoldOptions {
  /** Decoder rows become unit vectors, activations are multiplied by the norms they had. */
  decoderNorm: boolean;
  /** Whether the format's encoder sees x − b_dec; b_enc makes up for the difference. */
  applyBDecToInput: boolean;
}

/** Weights ready to be written; each call computes a fresh array. */
export interface FoldedWeights {
  /** [d, N] */
  W_enc(): Promise<Float32Array>;
  /** [N] */
  b_enc(): Promise<Float32Array>;
  /** [N, d] */
  W_dec(): Promise<Float32Array>;
  /** [d] */
  b_dec(): Promise<Float32Array>;
  /** [N] of jumprelu, or of a batchtopk SAE's inference threshold (its value at every latent). */
  threshold(): Promise<Float32Array>;
}

/** Folds s = inputScale and, where asked, n = ‖W_dec row‖/s: W_enc·s·n, b_enc·n, W_dec/(s·n), b_dec/s, θ·n. */
export async function foldForExport(source: Exportable, options: FoldOptions): Promise<FoldedWeights> {
  const { params, inferenceThreshold } = source.sae;
  const { dModel: d, nLatents: n } = source.config;
  const s = source.inputScale;
  const norms = options.decoderNorm ? rowNorms(await values(params.W_dec), n, d, s) : undefined;
  const norm = (i: number): number => norms?.[i] ?? 1;
  const W_enc = async (): Promise<Float32Array> => {
    const out = (await values(params.W_enc)).slice();
    for (let row = 0, at = 0; row < d; row++) for (let i = 0; i < n; i++, at++) out[at]! *= s * norm(i);
    return out;
  };
  const b_dec = async (): Promise<Float32Array> => (await values(params.b_dec)).map((value) => value / s);
  return {
    W_enc,
    b_dec,
    async b_enc() {
      const out = (await values(params.b_enc)).map((value, i) => value * norm(i));
      if (options.applyBDecToInput === source.config.applyBDecToInput) return out;
      // (x − b)·W + b_enc = x·W + (b_enc − b·W)
      const sign = options.applyBDecToInput ? 1 : -1;
      const [W, b] = [await W_enc(), await b_dec()];
      const shift = new Float64Array(n);
      for (let row = 0, at = 0; row < d; row++)
        for (let i = 0; i < n; i++, at++) shift[i]! += b[row]! * W[at]!;
      return out.map((value, i) => value + sign * shift[i]!);
    },
    async W_dec() {
      const out = (await values(params.W_dec)).slice();
      for (let i = 0, at = 0; i < n; i++) for (let row = 0; row < d; row++, at++) out[at]! /= s * norm(i);
      return out;
    },
    async threshold() {
      const own = params.threshold
        ? await values(params.threshold)
        : new Float32Array(n).fill(inferenceThreshold ?? 0);
      return own.map((value, i) => Math.max(value, 0) * norm(i));
    },
  };
}

/** A tensor's values; not to be changed (the cpu backend hands out its own array). */
export async function values(tensor: Tensor): Promise<Float32Array> {
  return (await tensor.data()) as Float32Array;
}

/** ‖W_dec row‖/s; 1 for a row of zeros, which decodes to nothing either way. */
function rowNorms(W_dec: Float32Array, n: number, d: number, s: number): Float64Array {
  const norms = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let at = i * d; at < (i + 1) * d; at++) sum += W_dec[at]! ** 2;
    norms[i] = Math.sqrt(sum) / s || 1;
  }
  return norms;
}
