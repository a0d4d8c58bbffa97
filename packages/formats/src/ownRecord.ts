/**
 * What the other formats have no place for: prefixes with their weights, what the SAE was trained as, the transform
 * that was folded in. Our writers leave it in the format's free-form part under the key `msae`; our readers find it.
 */
import {
  type Activation,
  outputSite,
  type Penalty,
  type PrefixRecord,
  type Sae,
  stepArrays,
  type TrainingRecord,
  type Transform,
} from '@msae/core';
import { type Fields, fieldsOf } from './configFields.ts';
import { formatError, show } from './formatError.ts';

export interface OwnRecord {
  readonly version: 1;
  readonly prefixes?: readonly number[];
  readonly prefixWeights?: readonly number[];
  /** The activation and penalty it was trained with. */
  readonly activation?: Activation;
  readonly penalty?: Penalty;
  readonly inferenceThreshold?: number | null;
  /** Steps of its transform that are folded into the weights, without their arrays. */
  readonly foldedTransform?: readonly object[];
  readonly decoderNormsFolded?: boolean;
}

/** What the format has no field for, of the SAE as it was before folding. */
export function ownRecordOf(sae: Sae, decoderNormsFolded: boolean, rest: Transform = []): OwnRecord {
  const { config, prefixes, inferenceThreshold } = sae;
  const folded = sae.transform.input.slice(rest.length);
  return {
    version: 1,
    activation: config.activation,
    penalty: config.penalty,
    ...(prefixes && { prefixes: prefixes.lengths, prefixWeights: prefixes.weights }),
    ...(inferenceThreshold !== null && { inferenceThreshold }),
    ...(folded.length > 0 && { foldedTransform: folded.map((step) => plainStep(step, config.input.width)) }),
    decoderNormsFolded,
  };
}

/** A step without its arrays: plain JSON. */
export function plainStep(step: Transform[number], width: number): { readonly kind: string } {
  const arrays = stepArrays(step, width);
  return Object.fromEntries(Object.entries(step).filter(([name]) => !(name in arrays))) as {
    kind: string;
  };
}

/** The widths [d, N, d_out] of an SAE. */
export function widthsOf({ config }: Sae): [number, number, number] {
  return [config.input.width, config.nLatents, outputSite(config).width];
}

/** The `msae` object of a format's configuration or metadata; empty when there is none. */
export function ownFields(holder: Fields): Fields {
  return fieldsOf(holder.file, holder.object('msae'), 'msae.');
}

/** Prefixes out of our own record. */
export function ownPrefixes(own: Fields, nLatents: number): PrefixRecord | undefined {
  const lengths = own.integers('prefixes');
  return lengths && prefixRecord(own.file, 'msae.prefixes', lengths, own.numbers('prefixWeights'), nLatents);
}

/** What it was trained as, out of our own record. */
export function ownTraining(own: Fields): TrainingRecord | undefined {
  const activation = own.object('activation');
  if (typeof activation.kind !== 'string') return undefined;
  const { activation: _, version: __, ...rest } = own.raw;
  return { architecture: activation.kind, details: { ...rest, activation } };
}

/** Checked prefixes; the full width is added when the last one is shorter. Absent weights are 1. */
export function prefixRecord(
  file: string,
  field: string,
  lengths: readonly number[],
  weights: readonly number[] | undefined,
  nLatents: number,
): PrefixRecord {
  const all = lengths.at(-1) === nLatents ? [...lengths] : [...lengths, nLatents];
  if (!all.every((length, i) => Number.isSafeInteger(length) && length >= 0 && length > (all[i - 1] ?? -1))) {
    throw formatError({
      file,
      field,
      found: show(lengths),
      expected: `strictly rising prefix lengths up to ${nLatents} latents`,
    });
  }
  const used = weights ?? all.map(() => 1);
  if (used.length !== all.length || !used.every(Number.isFinite)) {
    throw formatError({
      file,
      field: `${field}, weights`,
      found: show(used),
      expected: `${all.length} numbers`,
    });
  }
  return { lengths: all, weights: [...used] };
}
