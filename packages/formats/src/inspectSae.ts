/** What an SAE on disk, on the hub or behind an address is, without loading it. */
import type { Activation } from '@msae/core';
import type { Checkpoint, FormatName, Prefixed, TrainingRecord, WeightRef } from './checkpoint.ts';
import { type LoadSaeOptions, withCheckpoint } from './loadSae.ts';
import type { SaePlace } from './place.ts';
import type { Preprocessing } from './preprocess.ts';
import { readTensor, rowSquares, tensorSize } from './storedTensor.ts';

export interface TensorSummary {
  /** What it is to the SAE: W_enc, b_enc, W_dec, … */
  readonly role: string;
  /** Its name in the file. */
  readonly name: string;
  readonly dtype: string;
  /** As it lies in the file. */
  readonly shape: readonly number[];
  /** The file has the transpose of what `role` means here. */
  readonly transposed: boolean;
}

export interface Spread {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
}

export interface SaeInspection {
  readonly format: FormatName;
  readonly architecture: string;
  readonly file: string;
  readonly dModel: number;
  readonly nLatents: number;
  /** How it runs here. */
  readonly activation: Activation;
  readonly applyBDecToInput: boolean;
  /** batchtopk: the threshold of inference; jumprelu: the spread of its thresholds (as stored). */
  readonly threshold: number | Spread | null;
  readonly preprocessing: Preprocessing;
  /** The factor on the activations that loading folds into the weights. */
  readonly inputScale: number;
  /** Loading folds the decoder's norms into the encoder. */
  readonly scaleByDecoderNorm: boolean;
  readonly prefixes: Prefixed | null;
  readonly training: TrainingRecord | null;
  readonly tensors: readonly TensorSummary[];
  readonly parameters: number;
  /** Norms of the decoder's rows and the encoder's columns, one a latent; null when not asked for. */
  readonly norms: { readonly decoder: Spread; readonly encoder: Spread } | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}

export interface InspectSaeOptions extends LoadSaeOptions {
  /** Read the matrices for their norms (piece by piece, never whole). Default true. */
  norms?: boolean;
}

/**
 * Describes an SAE of any known format: its shapes, dtype, activation, prefixes, norms and what to beware of.
 *
 * @throws the same errors as `loadSae`
 */
export function inspectSae(place: SaePlace, options: InspectSaeOptions = {}): Promise<SaeInspection> {
  const { norms = true, ...rest } = options;
  return withCheckpoint(place, rest, (checkpoint) => describe(checkpoint, norms, rest.signal));
}

async function describe(
  checkpoint: Checkpoint,
  withNorms: boolean,
  signal?: AbortSignal,
): Promise<SaeInspection> {
  const tensors = summaries(checkpoint);
  const warnings = [...checkpoint.warnings];
  const norms = withNorms ? await readNorms(checkpoint, warnings, signal) : null;
  const { format, architecture, file, dModel, nLatents, activation, applyBDecToInput } = checkpoint;
  return {
    format,
    architecture,
    file,
    dModel,
    nLatents,
    activation,
    applyBDecToInput,
    threshold: await readThreshold(checkpoint),
    preprocessing: checkpoint.preprocessing,
    inputScale: checkpoint.inputScale ?? 1,
    scaleByDecoderNorm: checkpoint.scaleByDecoderNorm ?? false,
    prefixes: checkpoint.prefixes ?? null,
    training: checkpoint.training ?? null,
    tensors,
    parameters: tensors.reduce((sum, { shape }) => sum + tensorSize({ shape }), 0),
    norms,
    metadata: checkpoint.metadata,
    warnings,
  };
}

function summaries({ weights }: Checkpoint): TensorSummary[] {
  const { gated, whitening, ...plain } = weights;
  const refs = { ...plain, ...gated, ...whitening } as Record<string, WeightRef>;
  return Object.entries(refs).map(([role, { tensor, transpose }]) => ({
    role,
    name: tensor.name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    transposed: transpose ?? false,
  }));
}

async function readNorms(
  checkpoint: Checkpoint,
  warnings: string[],
  signal?: AbortSignal,
): Promise<SaeInspection['norms']> {
  const { W_dec, W_enc } = checkpoint.weights;
  const norms = async (
    name: string,
    { tensor, transpose = false }: WeightRef,
    flip: boolean,
  ): Promise<Spread> => {
    const { squares, notFinite } = await rowSquares(tensor, { transpose: transpose !== flip, signal });
    if (notFinite)
      warnings.push(`${name} has ${notFinite} values that are not finite: loading will refuse it`);
    return spread(squares.map(Math.sqrt));
  };
  const decoder = await norms('W_dec', W_dec, false);
  const encoder = await norms('W_enc', W_enc, true);
  if (decoder.min === 0) warnings.push('some latents have a decoder row of zeros');
  if (!checkpoint.scaleByDecoderNorm && (decoder.max > 1.01 || decoder.min < 0.99)) {
    warnings.push('decoder rows are not unit vectors: activations of different latents are not on one scale');
  }
  return { decoder, encoder };
}

async function readThreshold(checkpoint: Checkpoint): Promise<SaeInspection['threshold']> {
  if (checkpoint.activation.kind === 'batchtopk') return checkpoint.inferenceThreshold ?? null;
  if (checkpoint.uniformThreshold !== undefined) return checkpoint.uniformThreshold;
  const ref = checkpoint.weights.threshold;
  if (!ref) return null;
  const values = await readTensor(ref.tensor);
  return spread(Float64Array.from(values, checkpoint.logThreshold ? Math.exp : Number));
}

function spread(values: Float64Array): Spread {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const value of values) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { min, mean: sum / values.length, max };
}
