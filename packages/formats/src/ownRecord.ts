/**
 * What the other formats have no place for: prefixes with their weights, what the SAE was trained as, the normaliser
 * that was folded in. Our writers leave it in the format's free-form part under the key `msae`; our readers find it.
 */
import type { Activation, Penalty } from '@msae/core';
import type { Prefixed, TrainingRecord } from './checkpoint.ts';
import { type Fields, fieldsOf } from './configFields.ts';
import type { JsonObject } from './folder.ts';
import { formatError, show } from './formatError.ts';

export interface OwnRecord {
  readonly version: 1;
  readonly prefixes?: readonly number[];
  readonly prefixWeights?: readonly number[];
  /** The activation and penalty it was trained with. */
  readonly activation?: Activation;
  readonly penalty?: Penalty;
  readonly inferenceThreshold?: number | null;
  /** The scale of the activations in training: folded into the weights. */
  readonly inputScale?: number;
  readonly decoderNormsFolded?: boolean;
}

/** The `msae` object of a format's configuration or metadata; empty when there is none. */
export function ownFields(holder: Fields): Fields {
  return fieldsOf(holder.file, holder.object('msae'), 'msae.');
}

/** Prefixes out of our own record. */
export function ownPrefixes(own: Fields, nLatents: number): Prefixed | undefined {
  const lengths = own.integers('prefixes');
  return lengths && checkPrefixes(own.file, 'msae.prefixes', lengths, own.numbers('prefixWeights'), nLatents);
}

/** What it was trained as, out of our own record. */
export function ownTraining(own: Fields): TrainingRecord | undefined {
  const activation = own.object('activation');
  if (typeof activation.kind !== 'string') return undefined;
  const { activation: _, version: __, ...rest } = own.raw as JsonObject;
  return { architecture: activation.kind, details: { ...rest, activation } };
}

/** Checked prefixes; the full width is added when the last one is shorter. Absent weights are 1. */
export function checkPrefixes(
  file: string,
  field: string,
  lengths: readonly number[],
  weights: readonly number[] | undefined,
  nLatents: number,
): Prefixed {
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
