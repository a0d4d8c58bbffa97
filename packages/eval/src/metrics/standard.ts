/** The metrics that `evaluate` takes when it is told no others. */

import { check } from '@msae/schema';
import type { LabelSet } from '../evaluationBatch.ts';
import type { ForestOptions } from '../forest.ts';
import { type ContextsOptions, contextsMetric } from './contexts.ts';
import { decoderSimilarityMetric } from './decoderSimilarity.ts';
import type { Metric } from './definition.ts';
import { forestMetric } from './forest.ts';
import { histogramsMetric } from './histograms.ts';
import { labelsMetric } from './labels.ts';
import { standardSchema } from './options.ts';
import { prefixesMetric } from './prefixes.ts';
import { type ProbeOptions, probesMetric } from './probes.ts';
import { reconstructionMetric } from './reconstruction.ts';
import { sparsityMetric } from './sparsity.ts';

export interface StandardMetricOptions {
  /** The first set also makes the profile of every latent. */
  readonly labelSets?: readonly LabelSet[];
  readonly contexts?: ContextsOptions;
  readonly forest?: ForestOptions;
  /** Tokens kept for probes. 0: no probes. Default 20,000. */
  readonly probeTokens?: number;
  readonly denseProbes?: ProbeOptions['dense'];
}

/** One of the standard metrics. */
export type StandardMetric =
  | ReturnType<typeof reconstructionMetric>
  | ReturnType<typeof sparsityMetric>
  | ReturnType<typeof prefixesMetric>
  | ReturnType<typeof decoderSimilarityMetric>
  | ReturnType<typeof forestMetric>
  | ReturnType<typeof histogramsMetric>
  | ReturnType<typeof contextsMetric>
  | ReturnType<typeof labelsMetric>
  | ReturnType<typeof probesMetric>;

/** All standard metrics; labels and probes where there are label sets. @throws MsaeError `option` */
export function standardMetrics(options: StandardMetricOptions = {}): StandardMetric[] {
  check(standardSchema, options, 'standardMetrics');
  const { labelSets = [], contexts, forest, probeTokens, denseProbes: dense } = options;
  const [first] = labelSets;
  return [
    reconstructionMetric(),
    sparsityMetric(),
    prefixesMetric(),
    decoderSimilarityMetric(),
    forestMetric(forest),
    histogramsMetric(),
    contextsMetric(contexts),
    ...(first ? [labelsMetric(first)] : []),
    probesMetric({
      labelSets,
      ...(probeTokens !== undefined && { tokens: probeTokens }),
      ...(dense && { dense }),
    }),
  ];
}

/** Results by metric name. `labels` is absent without label sets. */
export type MetricResults<M extends Metric> = {
  readonly [N in Exclude<M['name'], 'labels'>]: ReturnType<Extract<M, { readonly name: N }>['result']>;
} & { readonly [N in Extract<M['name'], 'labels'>]?: ReturnType<Extract<M, { readonly name: N }>['result']> };
