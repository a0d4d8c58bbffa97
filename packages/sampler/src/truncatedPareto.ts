/**
 * The truncated Pareto distribution of prefix lengths (the Matryoshka SAE write-up; reference code: noanabeshima/matryoshka-saes).
 *
 *     P(p) ∝ (p−m+1)^α − (p−m)^α   for p = m … N−1        F⁻¹(u) = m + ⌊u^(1/α) · (N−m)⌋
 *
 * α (`power`) in (0, ∞), smaller favours shorter prefixes; m (`minLength`) is the shortest. N itself is always added to a
 * draw, so it is not part of the distribution.
 */
import { msaeError } from '@msae/schema';
import { checkLatents, equalWeights, type Prefixes, type PrefixScheme, type Reduction } from './prefixes.ts';
import type { Rng } from './rng.ts';

/** The distribution's parameters. */
export interface ParetoOptions {
  /** α > 0; default 0.5. Smaller favours shorter prefixes. */
  power?: number;
  /** m ≥ 1, the shortest prefix; default 1. */
  minLength?: number;
}

/** Options of {@link truncatedPareto}. */
export interface TruncatedParetoOptions extends ParetoOptions {
  /** P, the number of prefixes of a draw, N among them; default 10. */
  count?: number;
  /** Weights: 1 each (`sum`, default) or 1/P each (`mean`). */
  reduction?: Reduction;
}

/**
 * P−1 distinct lengths drawn from the truncated Pareto distribution, one after the other without replacement, and N.
 * O(P²) time for small P, O(P) memory, no table of length N.
 *
 * @throws MsaeError `option` for impossible options, and from `sample` if fewer than P−1 distinct lengths exist.
 */
export function truncatedPareto({
  count = 10,
  power = 0.5,
  minLength = 1,
  reduction = 'sum',
}: TruncatedParetoOptions = {}): PrefixScheme {
  if (!Number.isSafeInteger(count) || count < 1) {
    throw msaeError('option', `truncatedPareto: count must be an integer of at least 1, got ${count}`);
  }
  checkPareto(power, minLength);
  const weights = equalWeights(count, reduction);
  return {
    kind: 'truncated-pareto',
    count,
    power,
    minLength,
    reduction,
    sample(nLatents: number, rng: Rng): Prefixes {
      checkLatents(nLatents);
      checkEnough(count, nLatents, minLength);
      const lengths = new Int32Array(count);
      lengths[count - 1] = nLatents;
      drawDistinct(lengths.subarray(0, count - 1), nLatents, power, minLength, rng);
      return { lengths, weights };
    },
  };
}

/** Probability that one draw gives length `p`: 0 outside m … N−1. */
export function paretoPmf(
  p: number,
  nLatents: number,
  { power = 0.5, minLength = 1 }: ParetoOptions = {},
): number {
  checkPareto(power, minLength);
  checkLatents(nLatents);
  if (!Number.isInteger(p) || p < minLength || p >= nLatents) return 0;
  const span = nLatents - minLength;
  return ((p - minLength + 1) / span) ** power - ((p - minLength) / span) ** power;
}

/** Probability that one draw gives at most `p`. */
export function paretoCdf(
  p: number,
  nLatents: number,
  { power = 0.5, minLength = 1 }: ParetoOptions = {},
): number {
  checkPareto(power, minLength);
  checkLatents(nLatents);
  if (p < minLength) return 0;
  if (p >= nLatents - 1) return 1;
  return ((Math.floor(p) - minLength + 1) / (nLatents - minLength)) ** power;
}

/** The inverse of the cdf in closed form: the length at quantile `u` in [0, 1). */
export function paretoQuantile(
  u: number,
  nLatents: number,
  { power = 0.5, minLength = 1 }: ParetoOptions = {},
): number {
  checkPareto(power, minLength);
  checkEnough(2, nLatents, minLength);
  if (!(u >= 0 && u < 1)) throw msaeError('option', `paretoQuantile: u must be in [0, 1), got ${u}`);
  return quantile(u, nLatents, power, minLength);
}

function quantile(u: number, nLatents: number, power: number, minLength: number): number {
  const scaled = power === 0.5 ? u * u : u ** (1 / power);
  // For α > 1 the power of a u just below 1 can round up to 1.
  return Math.min(minLength + Math.floor(scaled * (nLatents - minLength)), nLatents - 1);
}

/** Fills `out` with distinct lengths, sorted. A repeat is drawn again; draws that stop finding new ones end by {@link race}. */
function drawDistinct(out: Int32Array, nLatents: number, power: number, minLength: number, rng: Rng): void {
  const wanted = out.length;
  const range = nLatents - minLength;
  if (wanted > 64 || wanted > range / 2) {
    race(out, 0, nLatents, power, minLength, rng);
    return;
  }
  let repeats = 0;
  for (let n = 0; n < wanted; ) {
    const p = quantile(rng.next(), nLatents, power, minLength);
    let at = n;
    while (at > 0 && out[at - 1]! > p) at--;
    if (at > 0 && out[at - 1] === p) {
      if (++repeats > 1000 + 100 * wanted) {
        race(out, n, nLatents, power, minLength, rng);
        return;
      }
      continue;
    }
    out.copyWithin(at + 1, at, n);
    out[at] = p;
    n++;
  }
}

/**
 * Goes on from the `have` lengths already in `out`: gives every other length an exponential clock of rate P(p) and takes
 * the first ones to ring, which is the law of sequential draws without replacement. O(N) time, for draws of many lengths.
 */
function race(
  out: Int32Array,
  have: number,
  nLatents: number,
  power: number,
  minLength: number,
  rng: Rng,
): void {
  const taken = new Set(out.subarray(0, have));
  const clocks: { p: number; rings: number }[] = [];
  for (let p = minLength; p < nLatents; p++) {
    if (taken.has(p)) continue;
    const rings = -Math.log(1 - rng.next()) / paretoPmf(p, nLatents, { power, minLength });
    clocks.push({ p, rings });
  }
  clocks.sort((a, b) => a.rings - b.rings);
  for (let n = have; n < out.length; n++) out[n] = clocks[n - have]!.p;
  out.sort();
}

function checkPareto(power: number, minLength: number): void {
  if (!(power > 0 && power < Number.POSITIVE_INFINITY)) {
    throw msaeError('option', `truncated Pareto: power must be a finite number above 0, got ${power}`);
  }
  if (!Number.isSafeInteger(minLength) || minLength < 1) {
    throw msaeError(
      'option',
      `truncated Pareto: minLength must be an integer of at least 1, got ${minLength}`,
    );
  }
}

function checkEnough(count: number, nLatents: number, minLength: number): void {
  const exist = Math.max(0, nLatents - minLength);
  if (minLength > nLatents || exist < count - 1) {
    throw msaeError(
      'option',
      `prefixes: ${count - 1} distinct lengths beside N = ${nLatents} were asked for, but only ${exist} exist between ` +
        `${minLength} and ${nLatents - 1}; lower count or minLength`,
    );
  }
}
