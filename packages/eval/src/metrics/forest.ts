import { check } from '@msae/schema';
import { type CooccurrenceAccumulator, cooccurrenceAccumulator } from '../cooccurrence.ts';
import { type Forest, type ForestOptions, latentForest } from '../forest.ts';
import type { Metric } from './definition.ts';
import { forestSchema } from './options.ts';

/** Which latents fire only where another does: the forest from general to specific. */
export function forestMetric(options: ForestOptions = {}): Metric<'forest', CooccurrenceAccumulator, Forest> {
  check(forestSchema, options, 'forestMetric');
  return {
    name: 'forest',
    start: ({ nLatents }) => cooccurrenceAccumulator({ nLatents }),
    add: (state, { active }) => state.add(active),
    result: (state) => latentForest(state.result(), options),
    table: ({ inTrees, depth }) => [
      {
        label: 'Latents in trees',
        value: inTrees,
        percent: true,
        help: 'Share of latents with a parent or a child: one fires (nearly) only where the other does',
      },
      {
        label: 'Deepest chain',
        value: depth,
        help: 'Edges from the most general to the most specific latent of the longest chain',
      },
    ],
  };
}
