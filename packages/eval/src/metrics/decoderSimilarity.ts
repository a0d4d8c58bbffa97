import { selfSimilarity } from '../selfSimilarity.ts';
import type { Metric, MetricContext } from './definition.ts';

/** How alike a dictionary's own directions are. It needs no data. */
export function decoderSimilarityMetric(): Metric<
  'decoderSimilarity',
  MetricContext,
  { readonly mean: number; readonly max: number }
> {
  return {
    name: 'decoderSimilarity',
    start: (context) => context,
    add: () => {},
    result: ({ decoder }) => selfSimilarity(decoder),
    table: ({ mean }) => [
      {
        label: 'Decoder similarity',
        value: mean,
        better: 'lower',
        help: "Mean over latents of the greatest cosine with another latent's direction; duplicates bring it near 1",
      },
    ],
  };
}
