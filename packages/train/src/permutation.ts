/**
 * Sorting latents by contribution while training, so that short prefixes hold what matters most.
 *
 * A latent's contribution is the running average of mean(a²)·‖W_dec row‖² (the write-up's reference). Everything that has
 * a latent axis is permuted together: parameters, both Adam moments, averages and counters (the reference forgets the
 * moments and the running average). With hysteresis a latent keeps the rank it was last sorted by until its contribution has
 * changed by more than a factor, so that two latents of nearly equal use do not swap back and forth.
 */

export interface PermutationOptions {
  /** Steps between two sorts. Default 100; the reference sorts at every step. */
  readonly every?: number;
  /** Share of the old running average kept at each look. Default .95. */
  readonly decay?: number;
  /** How much a contribution must change (as a fraction) before its latent moves. Default .1; 0 sorts exactly. */
  readonly hysteresis?: number;
}

export interface PermutationState {
  /** [N] running averages, null before the first look. */
  readonly average: Float64Array | null;
  /** [N] the contributions latents were last sorted by. */
  readonly sortedBy: Float64Array | null;
}

export interface LatentSorter {
  readonly every: number;
  /** Take contributions [N] of a batch into the average; returns the new order, or null when nothing moves. */
  observe(contributions: ArrayLike<number>): Int32Array | null;
  /** Forget a latent's history (after resampling). */
  reset(latents: ArrayLike<number>): void;
  state(): PermutationState;
  restore(state: PermutationState): void;
}

export function createLatentSorter(options: PermutationOptions = {}): LatentSorter {
  const { every = 100, decay = 0.95, hysteresis = 0.1 } = options;
  if (!(Number.isInteger(every) && every >= 1)) {
    throw new RangeError(`permutation.every must be a whole number of steps ≥ 1, got ${every}`);
  }
  if (!(decay >= 0 && decay < 1)) throw new RangeError(`permutation.decay must lie in [0, 1), got ${decay}`);
  if (!(hysteresis >= 0)) throw new RangeError(`permutation.hysteresis must be ≥ 0, got ${hysteresis}`);
  let average: Float64Array | null = null;
  let sortedBy: Float64Array | null = null;
  return {
    every,
    observe(contributions) {
      const n = contributions.length;
      const previous = average;
      const mean = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        const now = contributions[i] as number;
        mean[i] = previous === null ? now : decay * (previous[i] as number) + (1 - decay) * now;
      }
      const key = sortedBy ?? mean.slice();
      for (let i = 0; i < n; i++) {
        const a = mean[i] as number;
        const b = key[i] as number;
        if (Math.max(a, b) > (1 + hysteresis) * Math.min(a, b)) key[i] = a;
      }
      // Array sort is stable: equal contributions keep their order.
      const order = Int32Array.from(
        Array.from({ length: n }, (_, i) => i).sort((i, j) => (key[j] as number) - (key[i] as number)),
      );
      average = Float64Array.from(order, (old) => mean[old] as number);
      sortedBy = Float64Array.from(order, (old) => key[old] as number);
      return order.every((old, i) => old === i) ? null : order;
    },
    reset(latents) {
      for (let i = 0; i < latents.length; i++) {
        if (average !== null) average[latents[i] as number] = 0;
        if (sortedBy !== null) sortedBy[latents[i] as number] = 0;
      }
    },
    state: () => ({
      average: average?.slice() ?? null,
      sortedBy: sortedBy?.slice() ?? null,
    }),
    restore(state) {
      average = state.average?.slice() ?? null;
      sortedBy = state.sortedBy?.slice() ?? null;
    },
  };
}
