import {
  type ActivationHistogram,
  type ActivationHistogramAccumulator,
  activationHistograms,
} from '../activationHistogram.ts';
import type { Metric } from './definition.ts';

interface State {
  readonly accumulator: ActivationHistogramAccumulator;
  readonly nLatents: number;
}

/** How strongly each latent fires: a histogram each. */
export function histogramsMetric(): Metric<'histograms', State, readonly ActivationHistogram[]> {
  return {
    name: 'histograms',
    start: ({ nLatents }) => ({ accumulator: activationHistograms({ nLatents }), nLatents }),
    add: ({ accumulator }, { active }) => accumulator.add(active),
    result: ({ accumulator, nLatents }) =>
      Array.from({ length: nLatents }, (_, latent) => accumulator.histogram(latent)),
  };
}
