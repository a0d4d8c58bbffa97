import { type ReconstructionAccumulator, reconstructionAccumulator } from '../reconstruction.ts';
import type { Metric, MetricBatch } from './definition.ts';

export interface PrefixEvaluation {
  /** The SAE cut after its first `length` latents. */
  readonly length: number;
  readonly l0: number;
  readonly fvu: number;
}

interface State {
  readonly lengths: readonly number[];
  readonly rebuilt: readonly ReconstructionAccumulator[];
  readonly active: Float64Array;
  rows: number;
}

/** FVU and L0 of the SAE cut after each prefix; the last entry is the whole. */
export function prefixesMetric(): Metric<'prefixes', State, readonly PrefixEvaluation[]> {
  return {
    name: 'prefixes',
    start: ({ prefixes, width }) => ({
      lengths: prefixes,
      rebuilt: prefixes.map(() => reconstructionAccumulator(width)),
      active: new Float64Array(prefixes.length),
      rows: 0,
    }),
    add(state, batch) {
      state.rebuilt.forEach((accumulator, p) => accumulator.add(batch.x, batch.rebuilt[p]!));
      countBelow(batch, state);
      state.rows += batch.x.rows;
    },
    result: ({ lengths, rebuilt, active, rows }) =>
      lengths.map((length, p) => ({ length, l0: active[p]! / rows, fvu: rebuilt[p]!.result().fvu })),
  };
}

/** Adds, for every prefix, the active latents it holds. */
function countBelow({ active }: MetricBatch, { lengths, active: counts }: State): void {
  for (let at = 0, end = active.offsets[active.rows]!; at < end; at++) {
    const latent = active.indices[at]!;
    for (let p = lengths.length - 1; p >= 0 && latent < lengths[p]!; p--) counts[p]! += 1;
  }
}
