import {
  type ReconstructionAccumulator,
  type ReconstructionMetrics,
  reconstructionAccumulator,
} from '../reconstruction.ts';
import type { Metric } from './definition.ts';

/** FVU, cosine, shrinkage of the whole reconstruction. */
export function reconstructionMetric(): Metric<
  'reconstruction',
  ReconstructionAccumulator,
  ReconstructionMetrics
> {
  return {
    name: 'reconstruction',
    start: ({ width }) => reconstructionAccumulator(width),
    add: (state, { x, rebuilt }) => state.add(x, rebuilt.at(-1)!),
    result: (state) => state.result(),
    table: ({ fvu, fvuOfRows, cosine, l2Ratio }) => [
      {
        label: 'FVU',
        value: fvu,
        better: 'lower',
        help: 'Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − mean‖²',
      },
      {
        label: 'FVU, mean of rows',
        value: fvuOfRows,
        better: 'lower',
        help: 'Mean of ‖x − x̂‖² / ‖x − mean‖²: every row counts alike, however long',
      },
      { label: 'Cosine', value: cosine, better: 'higher', help: 'Mean cos(x, x̂)' },
      { label: 'Norm ratio', value: l2Ratio, help: 'Mean ‖x̂‖ / ‖x‖; below 1 is shrinkage' },
    ],
  };
}
