/**
 * Sorting latents by contribution while training, so that short prefixes hold what matters most.
 *
 * A latent's contribution is the running average of mean(a²)·‖W_dec row‖² (the write-up's reference). Everything that has
 * a latent axis is permuted together: parameters, both Adam moments, averages and counters (the reference forgets the
 * moments and the running average). With hysteresis a latent keeps the rank it was last sorted by until its contribution has
 * changed by more than a factor, so that two latents of nearly equal use do not swap back and forth.
 */
import { number, object, optional, type Schema, whole } from '@msae/schema';
import type { PartDefinition } from './definition.ts';

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
  /** Take contributions [N] of a batch into the average; returns the new order, to be applied by `permute`, or null when nothing moves. */
  observe(contributions: ArrayLike<number>): Int32Array | null;
  /** New latent i is old latent `order[i]`. */
  permute(order: Int32Array): void;
  /** Forget a latent's history (after resampling). */
  reset(latents: ArrayLike<number>): void;
  state(): PermutationState;
  restore(state: PermutationState): void;
}

export function createLatentSorter(options: PermutationOptions = {}): LatentSorter {
  const { every = 100, decay = 0.95, hysteresis = 0.1 } = options;
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
      average = mean;
      sortedBy = key;
      return order.every((old, i) => old === i) ? null : order;
    },
    permute(order) {
      const [mean, key] = [average, sortedBy];
      if (mean !== null) average = Float64Array.from(order, (old) => mean[old]!);
      if (key !== null) sortedBy = Float64Array.from(order, (old) => key[old]!);
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

const schema: Schema<PermutationOptions> = object<PermutationOptions>(
  {
    every: optional(whole({ min: 1, help: 'steps between two sorts' }), 100),
    decay: optional(
      number({ min: 0, below: 1, help: 'share of the old running average kept at each look' }),
      0.95,
    ),
    hysteresis: optional(
      number({ min: 0, help: 'how much a contribution changes, as a fraction, before its latent moves' }),
      0.1,
    ),
  },
  { help: 'sort latents by contribution while training' },
);

export const permutationPart: PartDefinition<PermutationOptions> = {
  name: 'permutation',
  schema,
  start(options, run) {
    const { nLatents } = run.sae.config;
    const sorter = createLatentSorter(options);
    const isDue = (done: number): boolean => done % sorter.every === 0;
    return {
      plan(plan) {
        if (isDue(plan.done)) plan.keepContributions = true;
      },
      async after({ gradients: { contributions }, plan }) {
        if (contributions === undefined || !isDue(plan.done)) return undefined;
        const order = sorter.observe(await contributions.data());
        if (order !== null) run.permute(order);
        return undefined;
      },
      revive: (latents) => sorter.reset(latents),
      permute: (order) => sorter.permute(order),
      save() {
        const { average, sortedBy } = sorter.state();
        return { tensors: { contribution: average, sorted_by: sortedBy } };
      },
      async restore(saved) {
        const read = async (name: string): Promise<Float64Array | null> =>
          saved.has(name) ? saved.float64(name, [nLatents]) : null;
        sorter.restore({ average: await read('contribution'), sortedBy: await read('sorted_by') });
      },
    };
  },
};
