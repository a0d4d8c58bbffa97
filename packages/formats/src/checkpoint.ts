/**
 * What every reader returns: a description of an SAE in a file, in the terms of one forward pass, with its tensors
 * not yet loaded. `assemble` turns it into a core SAE; `inspectSae` prints it.
 *
 *     x_n = s·(normalise(x) − whitening mean)…      (see `inputScale`, `whitening`)
 *     pre = (x_n − b_dec?)·W_enc + b_enc            times ‖W_dec row‖ where `scaleByDecoderNorm`
 */
import type { Activation, Penalty } from '@msae/core';
import type { Preprocessing } from './preprocess.ts';
import type { StoredTensor } from './storedTensor.ts';

export type FormatName =
  | 'msae'
  | 'msae_checkpoint'
  | 'saelens'
  | 'sparsify'
  | 'dictionary_learning'
  | 'gemma_scope'
  | 'llama_scope'
  | 'openai'
  | 'write_up';

/** A matrix or vector in a file, in the orientation its field asks for once `transpose` is done. */
export interface WeightRef {
  readonly tensor: StoredTensor;
  readonly transpose?: boolean;
}

export interface Prefixed {
  /** Strictly increasing, the last one = nLatents. */
  readonly lengths: readonly number[];
  readonly weights: readonly number[];
}

/** How it was trained, where the file says so and it differs from how it runs. */
export interface TrainingRecord {
  readonly architecture: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Checkpoint {
  readonly format: FormatName;
  /** The format's own name for it. */
  readonly architecture: string;
  /** The file with the weights. */
  readonly file: string;
  readonly dModel: number;
  readonly nLatents: number;
  readonly activation: Activation;
  readonly penalty?: Penalty;
  readonly applyBDecToInput: boolean;
  readonly weights: {
    /** [d, N] */
    readonly W_enc: WeightRef;
    /** [N]; gated SAEs have none, topk ones may have none. */
    readonly b_enc?: WeightRef;
    /** [N, d] */
    readonly W_dec: WeightRef;
    /** [d] */
    readonly b_dec?: WeightRef;
    /** [N], jumprelu: the thresholds, or their logarithms where `logThreshold`. */
    readonly threshold?: WeightRef;
    /** [d, d_out] row-major as y += x·skip. */
    readonly skip?: WeightRef;
    readonly gated?: { readonly r_mag: WeightRef; readonly b_gate: WeightRef; readonly b_mag: WeightRef };
    /** The activations were whitened: z = (x − mean)·matrix, x = z·inverse + mean. */
    readonly whitening?: {
      readonly mean: WeightRef;
      readonly matrix: WeightRef;
      readonly inverse: WeightRef;
    };
  };
  readonly logThreshold?: boolean;
  /** One threshold for all latents. */
  readonly uniformThreshold?: number;
  /** batchtopk: what inference keeps. */
  readonly inferenceThreshold?: number | null;
  /** The SAE saw s·x and its output is divided by s: folded into the weights. */
  readonly inputScale?: number;
  /** W_enc times this, W_dec divided by it (Gemma Scope's embedding SAEs). */
  readonly encoderScale?: number;
  /** Latents are measured in units of their decoder row's norm: folded into the weights. */
  readonly scaleByDecoderNorm?: boolean;
  readonly preprocessing: Preprocessing;
  readonly prefixes?: Prefixed;
  readonly training?: TrainingRecord;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}
