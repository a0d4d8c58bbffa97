/** Schemas of the standard metrics' options: what `evaluate`, `standardMetrics` and each metric check them with. */
import { choice, givenBy, list, number, object, optional, type Schema, whole } from '@msae/schema';
import type { LabelSet } from '../evaluationBatch.ts';
import type { ForestOptions } from '../forest.ts';
import type { ContextsOptions } from './contexts.ts';
import type { ProbeOptions } from './probes.ts';
import type { StandardMetricOptions } from './standard.ts';

export const contextsSchema: Schema<ContextsOptions> = object<ContextsOptions>({
  count: optional(whole({ min: 1, help: 'contexts kept a latent' }), 10),
  before: optional(whole({ min: 0, help: 'tokens before the firing one' }), 10),
  after: optional(whole({ min: 0, help: 'tokens after it' }), 5),
});

export const forestSchema: Schema<ForestOptions> = object<ForestOptions>({
  minConditional: optional(number({ min: 0, max: 1, help: 'least P(parent fires | child fires)' }), 0.6),
  minLift: optional(number({ min: 0, help: 'least P(parent | child) / P(parent)' }), 2),
  minCount: optional(whole({ min: 0, help: 'least tokens a latent of a tree fires on' }), 20),
  order: optional(choice(['index', 'density'], { help: 'what makes a latent the more general' }), 'index'),
});

const labelSets: Schema<readonly LabelSet[]> = list(
  givenBy<LabelSet>('a set of labels { name, names, labelsOf }', (value) => {
    const set = value as LabelSet | null;
    return typeof set?.labelsOf === 'function' && typeof set.name === 'string' && Array.isArray(set.names);
  }),
  { help: 'named labels of tokens' },
);
const tokens = optional(whole({ min: 0, help: 'tokens kept for probes; 0: no probes' }), 20_000);
const dense = optional(
  givenBy<NonNullable<ProbeOptions['dense']>>('a Map', (value) => value instanceof Map, {
    help: 'probes on x that other evaluations of the stream share',
  }),
);

export const probesSchema: Schema<ProbeOptions> = object<ProbeOptions>({ labelSets, tokens, dense });

/** For the schema of whatever takes {@link StandardMetricOptions} among others. */
export const standardEntries: {
  readonly [K in keyof StandardMetricOptions]-?: Schema<Exclude<StandardMetricOptions[K], undefined>>;
} = {
  labelSets: optional(labelSets),
  contexts: optional(contextsSchema),
  forest: optional(forestSchema),
  probeTokens: tokens,
  denseProbes: dense,
};

export const standardSchema: Schema<StandardMetricOptions> = object<StandardMetricOptions>(standardEntries);
