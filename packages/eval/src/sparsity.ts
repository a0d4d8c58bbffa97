/** How much fires: L0, L1, firing densities, dead and dense latents. One pass, O(N) memory. */
import { msaeError } from '@msae/schema';
import { type ActiveRows, checkActiveRows } from './activeRows.ts';

export interface SparsityMetrics {
  readonly tokens: number;
  /** Mean number of active latents a token. */
  readonly l0: number;
  /** Mean sum of |activation| a token. */
  readonly l1: number;
  /** Latents that never fired, their number and share. */
  readonly dead: number;
  readonly deadFraction: number;
  /** Share of latents that fire on more than 1 % and more than 10 % of tokens. */
  readonly over1Percent: number;
  readonly over10Percent: number;
  /** Share of tokens on which each latent fires, [N]. */
  readonly densities: Float64Array;
  /** Mean |activation| over the tokens on which the latent fires (0 when dead), [N]. */
  readonly meanActivation: Float64Array;
  /** Greatest |activation| seen, [N]. */
  readonly maxActivation: Float64Array;
}

export interface SparsityAccumulator {
  add(active: ActiveRows): void;
  result(): SparsityMetrics;
}

/** Accumulates sparsity metrics of `nLatents` latents. `result` throws an MsaeError when nothing was added. */
export function sparsityAccumulator(nLatents: number): SparsityAccumulator {
  const fired = new Float64Array(nLatents);
  const sums = new Float64Array(nLatents);
  const maxActivation = new Float64Array(nLatents);
  let tokens = 0;
  let l1 = 0;
  return {
    add(active) {
      checkActiveRows('sparsity', active, nLatents);
      tokens += active.rows;
      for (let at = 0, end = active.offsets[active.rows]!; at < end; at++) {
        const latent = active.indices[at]!;
        const value = active.values[at]!;
        fired[latent]! += 1;
        const size = Math.abs(value);
        sums[latent]! += size;
        l1 += size;
        if (size > maxActivation[latent]!) maxActivation[latent] = size;
      }
    },
    result() {
      if (tokens === 0) throw msaeError('value', 'sparsity: no tokens were added');
      const densities = fired.map((count) => count / tokens);
      const share = (test: (density: number) => boolean) => densities.filter(test).length / nLatents;
      return {
        tokens,
        l0: fired.reduce((sum, count) => sum + count, 0) / tokens,
        l1: l1 / tokens,
        dead: fired.filter((count) => count === 0).length,
        deadFraction: share((density) => density === 0),
        over1Percent: share((density) => density > 0.01),
        over10Percent: share((density) => density > 0.1),
        densities,
        meanActivation: sums.map((sum, i) => (fired[i]! > 0 ? sum / fired[i]! : 0)),
        maxActivation: maxActivation.slice(),
      };
    },
  };
}

export interface DensityHistogram {
  /** Bin k holds densities from 10^edges[k] up to 10^edges[k + 1]; the last bin includes its upper edge. */
  readonly edges: number[];
  readonly counts: number[];
  /** Latents that never fired (their logarithm has no bin). */
  readonly dead: number;
}

/** Histogram of log10 firing density with `binsPerDecade` bins, from `lowest` (a power of ten) to 1. Rarer latents fall in the first bin. */
export function densityHistogram(
  densities: ArrayLike<number>,
  options: { lowest?: number; binsPerDecade?: number } = {},
): DensityHistogram {
  const { lowest = -6, binsPerDecade = 4 } = options;
  const bins = Math.round(-lowest * binsPerDecade);
  const counts = new Array<number>(bins).fill(0);
  let dead = 0;
  for (let i = 0; i < densities.length; i++) {
    const density = densities[i]!;
    if (density === 0) dead += 1;
    else {
      // A density on an edge belongs to the bin above; the tiny addend undoes log10's rounding (10^-2 is bin -2, not below).
      const bin = Math.floor((Math.log10(density) - lowest) * binsPerDecade + 1e-9);
      counts[Math.min(bins - 1, Math.max(0, bin))]! += 1;
    }
  }
  return { edges: Array.from({ length: bins + 1 }, (_, k) => lowest + k / binsPerDecade), counts, dead };
}
