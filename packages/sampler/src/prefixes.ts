/** What a draw is: prefix lengths with their weights, and the interface of everything that draws them. */
import { msaeError } from '@msae/schema';
import type { Rng } from './rng.ts';

/**
 * Prefixes of the latents: prefix `lengths[j]` uses latents 0 … lengths[j]−1 and counts `weights[j]` times in the loss.
 * Lengths are strictly increasing integers, the last one is N; length 0 stands for the decoder bias alone.
 */
export interface Prefixes {
  readonly lengths: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** How to weigh P prefixes: `sum` gives each weight 1 (the write-up), `mean` gives each 1/P (its reference code). */
export type Reduction = 'sum' | 'mean';

/** A scheme as plain data: what JSON keeps of a {@link PrefixScheme}. `prefixScheme` makes it a scheme again. */
export interface PrefixSchemeData {
  readonly kind: string;
  readonly [option: string]: unknown;
}

/**
 * A way to choose prefixes: its options as plain data (JSON keeps them, `prefixScheme` reads them back), and how it draws.
 * Deterministic schemes ignore the random stream.
 */
export interface PrefixScheme extends PrefixSchemeData {
  /** Chooses prefixes for `nLatents` latents. @throws MsaeError `option` if that many distinct prefixes do not exist. */
  sample(nLatents: number, rng: Rng): Prefixes;
}

/** @throws MsaeError `option` unless `nLatents` is an integer of at least 1. */
export function checkLatents(nLatents: number): void {
  if (!Number.isSafeInteger(nLatents) || nLatents < 1) {
    throw msaeError('option', `prefixes: nLatents must be an integer of at least 1, got ${nLatents}`);
  }
}

/**
 * Checks prefixes against a number of latents.
 *
 * @throws MsaeError `option` that names the offending prefix: not an integer, out of 0 … N, unsorted or repeated, the last not N,
 * a weight missing, negative or not finite.
 */
export function checkPrefixes({ lengths, weights }: Prefixes, nLatents: number): void {
  checkLatents(nLatents);
  if (lengths.length === 0) throw msaeError('option', 'prefixes: at least one prefix is needed, got none');
  if (weights.length !== lengths.length) {
    throw msaeError(
      'option',
      `prefixes: one weight for each prefix is needed, got ${lengths.length} lengths and ${weights.length} weights`,
    );
  }
  let previous = -1;
  for (let j = 0; j < lengths.length; j++) {
    const length = lengths[j]!;
    if (!Number.isInteger(length) || length < 0 || length > nLatents) {
      throw msaeError(
        'option',
        `prefixes: length ${length} (prefix ${j}) is not an integer between 0 and N = ${nLatents}`,
      );
    }
    if (length <= previous) {
      throw msaeError(
        'option',
        `prefixes: lengths must increase strictly, but prefix ${j} has ${length} after ${previous}; sort them and drop repeats`,
      );
    }
    const weight = weights[j]!;
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
      throw msaeError(
        'option',
        `prefixes: weight ${weight} (prefix ${j}) is not a finite number of at least 0`,
      );
    }
    previous = length;
  }
  if (previous !== nLatents) {
    throw msaeError(
      'option',
      `prefixes: the last prefix must be all N = ${nLatents} latents, got ${previous}`,
    );
  }
}

/** P equal weights under a reduction. */
export function equalWeights(count: number, reduction: Reduction): Float64Array {
  return new Float64Array(count).fill(reduction === 'mean' ? 1 / count : 1);
}
