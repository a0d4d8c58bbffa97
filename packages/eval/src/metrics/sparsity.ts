import { type SparsityAccumulator, type SparsityMetrics, sparsityAccumulator } from '../sparsity.ts';
import type { Metric } from './definition.ts';

/** L0, densities, dead latents. */
export function sparsityMetric(): Metric<'sparsity', SparsityAccumulator, SparsityMetrics> {
  return {
    name: 'sparsity',
    start: ({ nLatents }) => sparsityAccumulator(nLatents),
    add: (state, { active }) => state.add(active),
    result: (state) => state.result(),
    table: ({ l0, deadFraction, over1Percent, over10Percent }) => [
      { label: 'L0', value: l0, help: 'Mean number of active latents a token' },
      {
        label: 'Dead latents',
        value: deadFraction,
        better: 'lower',
        percent: true,
        help: 'Share of latents that never fired here',
      },
      {
        label: 'Latents on > 1 % of tokens',
        value: over1Percent,
        percent: true,
        help: 'Share of latents that fire on more than 1 % of tokens',
      },
      {
        label: 'Latents on > 10 % of tokens',
        value: over10Percent,
        percent: true,
        help: 'Share of latents that fire on more than 10 % of tokens',
      },
    ],
  };
}
