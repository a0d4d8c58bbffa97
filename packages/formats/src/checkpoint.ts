/**
 * What every reader returns: a description of an SAE in a file, in the terms of one forward pass, with its tensors
 * not yet loaded. `assemble` turns it into a core SAE; `inspectSae` prints it.
 *
 *     z = transform(x)
 *     pre = (z − b_dec?)·W_enc + b_enc        times ‖W_dec row‖ (of undone outputs) where `scaleByDecoderNorm`
 */
import type { Activation, Penalty, PrefixRecord, Site, TrainingRecord } from '@msae/core';
import type { StoredTensor } from './containers/storedTensor.ts';

/** A matrix or vector in a file, in the orientation its field asks for once `transpose` is done. */
export interface WeightRef {
  readonly tensor: StoredTensor;
  readonly transpose?: boolean;
}

/** A step of a transform: its kind and numbers, and where its arrays lie. */
export interface StoredStep {
  readonly kind: string;
  readonly numbers?: Readonly<Record<string, number>>;
  readonly arrays?: Readonly<Record<string, WeightRef>>;
}

/** Normalisations by constants of the data: a file may say that there was one and not have the constants. */
export const constantNormalizations = ['expected_average_only_in', 'covariance_whitening'] as const;
export type ConstantNormalization = (typeof constantNormalizations)[number];

export interface Checkpoint {
  /** The format's own name for it. */
  readonly architecture: string;
  /** The file with the weights. */
  readonly file: string;
  readonly input: Site;
  /** Of a transcoder. */
  readonly output?: Site;
  readonly nLatents: number;
  readonly activation: Activation;
  readonly penalty?: Penalty;
  readonly applyBDecToInput: boolean;
  readonly weights: {
    /** [d, N] */
    readonly W_enc: WeightRef;
    /** [N]; gated SAEs have none, topk ones may have none. */
    readonly b_enc?: WeightRef;
    /** [N, d_out] */
    readonly W_dec: WeightRef;
    /** [d_out] */
    readonly b_dec?: WeightRef;
    /** [N], where thresholds are learnt: the thresholds, or their logarithms where `logThreshold`. */
    readonly threshold?: WeightRef;
    /** [d, d_out] row-major as y += x·skip, on raw x. */
    readonly skip?: WeightRef;
    readonly gated?: { readonly r_mag: WeightRef; readonly b_gate: WeightRef; readonly b_mag: WeightRef };
  };
  readonly logThreshold?: boolean;
  /** One threshold for all latents. */
  readonly uniformThreshold?: number;
  /** What inference keeps pre-activations above, where the activation needs it. */
  readonly inferenceThreshold?: number | null;
  /** W_enc times this, W_dec divided by it (Gemma Scope's embedding SAEs). */
  readonly encoderScale?: number;
  /** Latents are measured in units of their decoder row's norm. */
  readonly scaleByDecoderNorm?: boolean;
  /** `output` only of transcoders. */
  readonly transform?: { readonly input: readonly StoredStep[]; readonly output?: readonly StoredStep[] };
  /** It was trained on activations normalised by constants that are not in the file. */
  readonly needs?: ConstantNormalization;
  readonly prefixes?: PrefixRecord;
  readonly training?: TrainingRecord;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
  /** Where it was before this file, if the file says so. */
  readonly source?: { readonly format: string; readonly architecture: string };
}

/** Under this name metadata says which constants are missing, so that writers can say it again. */
export const needsKey = 'normalize_activations';

/** z = s·x, s√d / mean ‖x‖ as trainers measure it. */
export const scaleStep = (factor: number): StoredStep => ({ kind: 'scale', numbers: { factor } });
