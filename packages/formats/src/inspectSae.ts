/** What an SAE on disk, on the hub or behind an address is, without loading it. */
import {
  type Activation,
  activationTraits,
  type PrefixRecord,
  type Site,
  type TrainingRecord,
} from '@msae/core';
import { check, flag, object, optional, type Schema } from '@msae/schema';
import { type Checkpoint, needsKey, type StoredStep, type WeightRef } from './checkpoint.ts';
import { readTensor, rowSquares, tensorSize } from './containers/storedTensor.ts';
import type { Detected } from './formats/detect.ts';
import type { FormatName } from './formats/table.ts';
import { type LoadSaeOptions, loadSaeEntries, withCheckpoint } from './loadSae.ts';
import type { SaePlace } from './place.ts';

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
  /** What it reads, and what a transcoder writes. */
  readonly input: Site;
  readonly output: Site | null;
  readonly nLatents: number;
  /** How it runs here. */
  readonly activation: Activation;
  readonly applyBDecToInput: boolean;
  /** batchtopk: the threshold of inference; jumprelu: the spread of its thresholds (as stored). */
  readonly threshold: number | Spread | null;
  /** What is done to activations before the weights see them: steps with their numbers, in order. */
  readonly transform: readonly { readonly kind: string }[];
  /** Loading folds the decoder's norms into the encoder. */
  readonly scaleByDecoderNorm: boolean;
  readonly prefixes: PrefixRecord | null;
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

const schema: Schema<InspectSaeOptions> = object<InspectSaeOptions>({
  ...loadSaeEntries,
  norms: optional(flag({ help: 'read the matrices for their norms' }), true),
});

/**
 * Describes an SAE of any known format: its shapes, dtype, activation, prefixes, norms and what to beware of.
 *
 * @throws the same errors as `loadSae`
 */
export async function inspectSae(place: SaePlace, options: InspectSaeOptions = {}): Promise<SaeInspection> {
  const { norms = true, ...rest } = check(schema, options, 'inspectSae');
  return withCheckpoint(place, rest, (detected) => describe(detected, norms, rest.signal));
}

async function describe(
  { format, checkpoint }: Detected,
  withNorms: boolean,
  signal?: AbortSignal,
): Promise<SaeInspection> {
  const tensors = summaries(checkpoint);
  const warnings = [...checkpoint.warnings];
  const norms = withNorms ? await readNorms(checkpoint, warnings, signal) : null;
  const { architecture, file, input, output, nLatents, activation, applyBDecToInput, needs } = checkpoint;
  return {
    format,
    architecture,
    file,
    input,
    output: output ?? null,
    nLatents,
    activation,
    applyBDecToInput,
    threshold: await readThreshold(checkpoint),
    transform: (checkpoint.transform?.input ?? []).map(({ kind, numbers }) => ({ kind, ...numbers })),
    scaleByDecoderNorm: checkpoint.scaleByDecoderNorm ?? false,
    prefixes: checkpoint.prefixes ?? null,
    training: checkpoint.training ?? null,
    tensors,
    parameters: tensors.reduce((sum, { shape }) => sum + tensorSize({ shape }), 0),
    norms,
    metadata: { ...checkpoint.metadata, ...(needs && { [needsKey]: needs }) },
    warnings,
  };
}

function summaries({ weights, transform }: Checkpoint): TensorSummary[] {
  const { gated, ...plain } = weights;
  const steps: readonly StoredStep[] = transform?.input ?? [];
  const refs = Object.assign({}, plain, gated, ...steps.map(({ arrays }) => arrays)) as Record<
    string,
    WeightRef
  >;
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
  if (activationTraits(checkpoint.activation).needsThreshold) return checkpoint.inferenceThreshold ?? null;
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
