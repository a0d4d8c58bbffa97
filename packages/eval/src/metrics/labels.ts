import type { LabelSet } from '../evaluationBatch.ts';
import { type LabelProfileAccumulator, type LabelShare, labelProfiles } from '../labelProfile.ts';
import type { Numbers } from '../matrix.ts';
import type { Metric } from './definition.ts';

export interface LatentLabels {
  readonly name: string;
  readonly names: readonly string[];
  /** P(label) */
  readonly base: Numbers;
  /** The most frequent labels of every latent. */
  readonly profiles: readonly (readonly LabelShare[])[];
}

interface State {
  readonly accumulator: LabelProfileAccumulator;
  readonly nLatents: number;
}

/** What kinds of token each latent fires on. */
export function labelsMetric(set: LabelSet): Metric<'labels', State, LatentLabels> {
  return {
    name: 'labels',
    start: ({ nLatents }) => ({
      accumulator: labelProfiles({ nLatents, nLabels: set.names.length }),
      nLatents,
    }),
    add: ({ accumulator }, { active, tokens, firstRow }) =>
      accumulator.add(active, set.labelsOf(tokens, firstRow)),
    result: ({ accumulator, nLatents }) => ({
      name: set.name,
      names: set.names,
      base: accumulator.base(),
      profiles: Array.from({ length: nLatents }, (_, latent) => accumulator.profile(latent)),
    }),
  };
}
