import type { Prefixes } from '@msae/sampler';

/** C(p) = Σ_{q≤p} w_q for p = 0 … N: all that the sparse path wants to know about the prefixes. Summed in float64. */
export function cumulativeWeights(
  lengths: Prefixes['lengths'],
  weights: Prefixes['weights'],
  nLatents: number,
): Float32Array {
  const cumulative = new Float32Array(nLatents + 1);
  let sum = 0;
  let j = 0;
  for (let p = 0; p <= nLatents; p++) {
    if (j < lengths.length && lengths[j] === p) sum += weights[j++]!;
    cumulative[p] = sum;
  }
  return cumulative;
}

/** At most `limit` of the lengths, evenly spread over the list, the last always among them. */
export function reportedPrefixes(lengths: Prefixes['lengths'], limit: number): number[] {
  const count = Math.min(lengths.length, limit);
  return Array.from({ length: count }, (_, i) => lengths[Math.ceil(((i + 1) * lengths.length) / count) - 1]!);
}
