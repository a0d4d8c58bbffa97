/** Prefix schemes without randomness: fixed widths, fractions, geometric widths, every prefix, the full prefix alone. */
import { msaeError } from '@msae/schema';
import {
  checkLatents,
  checkPrefixes,
  equalWeights,
  type Prefixes,
  type PrefixScheme,
  type PrefixSchemeData,
  type Reduction,
} from './prefixes.ts';
import { type ParetoOptions, paretoPmf } from './truncatedPareto.ts';

/** The full prefix alone, weight 1: a vanilla SAE. */
export function fullPrefix(): PrefixScheme {
  return fixed({ kind: 'full' }, (nLatents) => ({
    lengths: Int32Array.of(nLatents),
    weights: Float64Array.of(1),
  }));
}

/**
 * Given lengths, as in SAELens (each weight 1) and Bussmann et al. (length 0, the bias alone, may come first).
 *
 * @param lengths strictly increasing; N is added if the last is shorter and `weights` is not given.
 * @throws MsaeError `option` (from `sample`) if a length does not fit the number of latents.
 */
export function fixedWidths(lengths: readonly number[], weights?: readonly number[]): PrefixScheme {
  if (lengths.length === 0)
    throw msaeError('option', 'fixed-widths: at least one prefix is needed, got none');
  return fixed(
    { kind: 'fixed-widths', lengths: [...lengths], ...(weights && { weights: [...weights] }) },
    (nLatents) => {
      const all = weights === undefined && lengths.at(-1) !== nLatents ? [...lengths, nLatents] : lengths;
      return {
        lengths: Int32Array.from(all),
        weights: Float64Array.from(weights ?? equalWeights(all.length, 'sum')),
      };
    },
  );
}

/**
 * Block sizes as fractions of N, as in dictionary_learning: they sum to 1, the last block takes what rounding leaves.
 *
 * @throws MsaeError `option` for fractions that are not positive or do not sum to 1, or (from `sample`) an empty block.
 */
export function fractions(blocks: readonly number[], weights?: readonly number[]): PrefixScheme {
  const total = blocks.reduce((sum, f) => sum + f, 0);
  if (blocks.some((f) => !(f > 0)) || Math.abs(total - 1) > 1e-6) {
    throw msaeError(
      'option',
      `fractions: block fractions must be positive and sum to 1, got ${blocks.join(', ')} = ${total}`,
    );
  }
  const data = { kind: 'fractions', blocks: [...blocks], ...(weights && { weights: [...weights] }) };
  return fixed(data, (nLatents) => {
    const lengths = new Int32Array(blocks.length);
    let end = 0;
    for (let j = 0; j < blocks.length; j++) {
      end += Math.floor(blocks[j]! * nLatents + 1e-9);
      lengths[j] = j === blocks.length - 1 ? nLatents : end;
    }
    return { lengths, weights: Float64Array.from(weights ?? equalWeights(lengths.length, 'sum')) };
  });
}

/** Options of {@link geometricWidths}. */
export interface GeometricOptions {
  /** P, the number of prefixes, N among them. */
  count: number;
  /** Each prefix is this many times the one before; default 2. */
  ratio?: number;
  reduction?: Reduction;
}

/**
 * Lengths N, N/r, N/r², … (rounded), `count` of them.
 *
 * @throws MsaeError `option` for a ratio not above 1, or (from `sample`) if rounding makes two lengths equal.
 */
export function geometricWidths({ count, ratio = 2, reduction = 'sum' }: GeometricOptions): PrefixScheme {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw msaeError('option', `geometricWidths: count must be an integer of at least 1, got ${count}`);
  }
  if (!(ratio > 1)) throw msaeError('option', `geometricWidths: ratio must be above 1, got ${ratio}`);
  return fixed({ kind: 'geometric', count, ratio, reduction }, (nLatents) => ({
    lengths: Int32Array.from({ length: count }, (_, j) => Math.round(nLatents / ratio ** (count - 1 - j))),
    weights: equalWeights(count, reduction),
  }));
}

/** Options of {@link everyPrefix}. */
export interface EveryPrefixOptions extends ParetoOptions {
  /** P of the sampled loss whose expectation this is; default 10. */
  count?: number;
  /** `mean` (default): the weights sum to 1. `sum`: they sum to P. */
  reduction?: Reduction;
}

/**
 * All prefixes 1 … N at once: w_p = (P−1)/P · pmf(p) and w_N = 1/P (times P under `sum`), the expectation of the loss of
 * P−1 independent draws from the truncated Pareto distribution and N. No sampling noise. In the sparse path it costs what
 * one prefix does.
 */
export function everyPrefix({
  count = 10,
  power = 0.5,
  minLength = 1,
  reduction = 'mean',
}: EveryPrefixOptions = {}): PrefixScheme {
  if (!(count >= 1)) throw msaeError('option', `everyPrefix: count must be at least 1, got ${count}`);
  return fixed({ kind: 'every-prefix', count, power, minLength, reduction }, (nLatents) => {
    const scale = reduction === 'mean' ? 1 / count : 1;
    const lengths = Int32Array.from({ length: nLatents }, (_, i) => i + 1);
    const weights = new Float64Array(nLatents);
    for (let p = 1; p < nLatents; p++) {
      weights[p - 1] = scale * (count - 1) * paretoPmf(p, nLatents, { power, minLength });
    }
    weights[nLatents - 1] = scale;
    return { lengths, weights };
  });
}

/** A scheme that depends on N alone; the last answer is kept, since N seldom changes. */
function fixed(data: PrefixSchemeData, make: (nLatents: number) => Prefixes): PrefixScheme {
  let last: { nLatents: number; prefixes: Prefixes } | undefined;
  return {
    ...data,
    sample(nLatents: number): Prefixes {
      if (last?.nLatents !== nLatents) {
        checkLatents(nLatents);
        const prefixes = make(nLatents);
        checkPrefixes(prefixes, nLatents);
        last = { nLatents, prefixes };
      }
      return last.prefixes;
    },
  };
}
