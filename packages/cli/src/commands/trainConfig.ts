/** The configuration of `msae train`: a JSON file, flags over it, checked with one clear message for each mistake. */
import type { SaeOptions } from '@msae/core';
import { BACKENDS, type BackendName } from '@msae/node';
import {
  type EveryPrefixOptions,
  everyPrefix,
  fixedWidths,
  fractions,
  fullPrefix,
  type GeometricOptions,
  geometricWidths,
  type PrefixScheme,
  type TruncatedParetoOptions,
  truncatedPareto,
} from '@msae/sampler';
import type { Phase, TrainerOptions } from '@msae/train';
import * as v from 'valibot';
import { didYouMean } from '../didYouMean.ts';
import { UsageError } from '../usageError.ts';

/** How prefixes are chosen, as data. */
export type PrefixConfig =
  | ({ readonly kind: 'truncated-pareto' } & TruncatedParetoOptions)
  | {
      readonly kind: 'fixed-widths';
      readonly lengths: readonly number[];
      readonly weights?: readonly number[];
    }
  | { readonly kind: 'fractions'; readonly blocks: readonly number[]; readonly weights?: readonly number[] }
  | ({ readonly kind: 'geometric' } & GeometricOptions)
  | ({ readonly kind: 'every' } & EveryPrefixOptions)
  | { readonly kind: 'full' };

/** A run's settings, every default filled in. The schema below says what each may be. */
export interface TrainConfig {
  readonly data: {
    readonly path: string;
    readonly key?: string;
    readonly shuffle: number | false;
    /** Passes over the data; absent: as many as totalSteps needs, or one. */
    readonly epochs?: number;
    readonly bufferMiB: number;
  };
  readonly sae: Required<Omit<SaeOptions, 'dModel'>>;
  readonly training: Omit<TrainerOptions, 'totalSteps' | 'prefixes' | 'phases' | 'checkpoints'> & {
    readonly totalSteps?: number;
    readonly batchSize: number;
    readonly prefixes: PrefixConfig;
    readonly phases?: readonly (Omit<Phase, 'prefixes'> & { readonly prefixes?: PrefixConfig })[];
  };
  readonly checkpoints: { readonly everySteps: number; readonly keep: number };
  readonly backend: 'auto' | BackendName;
  readonly threads?: number;
}

const whole = (least: number) => v.pipe(v.number(), v.integer(), v.minValue(least));
const positive = v.pipe(v.number(), v.gtValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
/** An object with no other settings than these; the message of an unknown one names the nearest. */
const object = <const T extends v.ObjectEntries>(entries: T) =>
  v.strictObject(entries, (issue) => {
    const name = String(issue.path?.at(-1)?.key ?? '');
    return `there is no such setting${didYouMean(name, Object.keys(entries))}`;
  });
const maybe = v.optional;

const reduction = maybe(v.picklist(['sum', 'mean']));
const weights = maybe(v.array(v.number()));
const prefixes = v.variant('kind', [
  object({
    kind: v.literal('truncated-pareto'),
    count: whole(1),
    power: maybe(positive),
    minLength: maybe(whole(1)),
    reduction,
  }),
  object({ kind: v.literal('fixed-widths'), lengths: v.array(whole(0)), weights }),
  object({ kind: v.literal('fractions'), blocks: v.array(positive), weights }),
  object({ kind: v.literal('geometric'), count: whole(1), ratio: maybe(positive), reduction }),
  object({
    kind: v.literal('every'),
    count: maybe(whole(1)),
    power: maybe(positive),
    minLength: maybe(whole(1)),
    reduction,
  }),
  object({ kind: v.literal('full') }),
]);

const activation = v.variant('kind', [
  object({ kind: v.literal('relu') }),
  object({ kind: v.literal('topk'), k: whole(1) }),
  object({ kind: v.literal('batchtopk'), k: positive }),
  object({
    kind: v.literal('jumprelu'),
    threshold: maybe(v.number(), 0.001),
    bandwidth: maybe(positive, 0.001),
  }),
]);

const penalty = v.variant('kind', [
  object({ kind: v.picklist(['none', 'l1', 'tanh']) }),
  object({
    kind: v.literal('log'),
    epsilon: maybe(positive, 0.1),
    subtractLogEpsilon: maybe(v.boolean(), false),
  }),
  object({ kind: v.literal('sqrt'), epsilon: maybe(positive, 0.1) }),
]);

const schedule = v.variant('kind', [
  object({ kind: v.literal('constant'), warmupSteps: maybe(whole(0)) }),
  object({
    kind: v.picklist(['linear', 'cosine']),
    warmupSteps: maybe(whole(0)),
    endFactor: maybe(v.number()),
  }),
  object({
    kind: v.literal('wsd'),
    warmupSteps: maybe(whole(0)),
    decayFraction: maybe(share),
    endFactor: maybe(v.number()),
  }),
]);

const controller = v.variant('kind', [
  object({
    kind: v.literal('reference'),
    targetL0: positive,
    start: maybe(positive),
    rate: maybe(positive),
    warmupSteps: maybe(whole(0)),
  }),
  object({
    kind: v.literal('pi'),
    targetL0: positive,
    start: maybe(positive),
    warmupSteps: maybe(whole(0)),
    proportional: maybe(positive),
    integral: maybe(positive),
    smoothing: maybe(share),
    maxChange: maybe(positive),
    min: maybe(positive),
    max: maybe(positive),
  }),
]);

const off = v.literal(false);
const decoderPrefixes = v.picklist(['all', 'full']);

const training = object({
  totalSteps: maybe(whole(1)),
  batchSize: maybe(whole(1), 1024),
  prefixes: maybe(prefixes, { kind: 'truncated-pareto', count: 10 }),
  decoderPrefixes: maybe(decoderPrefixes),
  learningRate: maybe(positive),
  schedule: maybe(schedule),
  optimizer: maybe(
    object({
      beta1: maybe(share),
      beta2: maybe(share),
      epsilon: maybe(positive),
      weightDecay: maybe(v.number()),
    }),
  ),
  gradClipNorm: maybe(v.nullable(positive)),
  penaltyCoefficient: maybe(v.number()),
  penaltyWarmupSteps: maybe(whole(0)),
  sparsityController: maybe(controller),
  controlEvery: maybe(whole(1)),
  l0Penalty: maybe(object({ coefficient: v.number(), target: maybe(positive) })),
  kAnnealing: maybe(object({ from: whole(1), to: whole(1), steps: whole(0) })),
  normalizer: maybe(v.union([off, object({ decay: maybe(share), start: maybe(positive) })])),
  decoderBiasInit: maybe(v.union([off, object({ rows: whole(1) })])),
  unitNormDecoder: maybe(v.boolean()),
  weightAverage: maybe(v.union([off, object({ decay: share })])),
  permutation: maybe(
    v.union([off, object({ every: maybe(whole(1)), decay: maybe(share), hysteresis: maybe(v.number()) })]),
  ),
  deadLatents: maybe(v.union([off, object({ afterTokens: maybe(whole(1)), refreshEvery: maybe(whole(1)) })])),
  auxiliaryLoss: maybe(
    v.union([
      off,
      object({
        coefficient: maybe(v.number()),
        k: maybe(whole(1)),
        perPrefix: maybe(v.boolean()),
        normalize: maybe(v.boolean()),
      }),
    ]),
  ),
  resampling: maybe(
    v.union([
      off,
      object({
        every: whole(1),
        from: maybe(share),
        until: maybe(share),
        direction: maybe(v.picklist(['residual', 'input'])),
        encoderScale: maybe(positive),
        decoderNorm: maybe(positive),
        rows: maybe(v.picklist(['sampled', 'largest'])),
        weak: maybe(object({ below: share, steps: maybe(whole(1)) })),
      }),
    ]),
  ),
  thresholdDecay: maybe(share),
  path: maybe(v.picklist(['auto', 'dense', 'sparse'])),
  phases: maybe(
    v.array(
      object({
        from: share,
        prefixes: maybe(prefixes),
        decoderPrefixes: maybe(decoderPrefixes),
        penaltyCoefficient: maybe(v.number()),
        learningRateFactor: maybe(positive),
        gradClipNorm: maybe(v.nullable(positive)),
        permutation: maybe(off),
      }),
    ),
  ),
  reportEvery: maybe(whole(1), 100),
  seed: maybe(v.pipe(v.number(), v.integer()), 0),
});

const configSchema: v.GenericSchema<unknown, TrainConfig> = object({
  data: object({
    path: v.pipe(v.string(), v.nonEmpty('expected a path')),
    key: maybe(v.string()),
    shuffle: maybe(v.union([off, v.pipe(v.number(), v.integer())]), 0),
    epochs: maybe(whole(1)),
    bufferMiB: maybe(positive, 256),
  }),
  sae: object({
    nLatents: whole(1),
    activation: maybe(activation, { kind: 'topk', k: 32 }),
    penalty: maybe(penalty, { kind: 'none' }),
    applyBDecToInput: maybe(v.boolean(), false),
    init: maybe(v.picklist(['reference', 'tied', 'unit-norm']), 'tied'),
    seed: maybe(v.pipe(v.number(), v.integer()), 0),
  }),
  training: maybe(training, {}),
  checkpoints: maybe(object({ everySteps: maybe(whole(1), 1000), keep: maybe(whole(1), 3) }), {}),
  backend: maybe(v.picklist(['auto', ...BACKENDS]), 'auto'),
  threads: maybe(whole(1)),
}) as unknown as v.GenericSchema<unknown, TrainConfig>;

/**
 * Checks a configuration. `flags` names the flag that gave a setting, by the setting's path.
 * @throws UsageError with one line for each mistake: where, what was expected, what was given.
 */
export function parseTrainConfig(
  json: unknown,
  file: string,
  flags: Readonly<Record<string, string>> = {},
): TrainConfig {
  const result = v.safeParse(configSchema, json);
  if (result.success) return result.output;
  const lines = result.issues.map((issue) => {
    const path = v.getDotPath(issue) ?? '(top level)';
    const flag = flags[path];
    return `${flag === undefined ? `${file}: ${path}` : `--${flag}`}: ${mistake(issue)}`;
  });
  throw new UsageError(lines.join('\n'));
}

function mistake({ type, expected, received, message }: v.BaseIssue<unknown>): string {
  if (type === 'strict_object' && expected === 'never') return message;
  if (type === 'strict_object' && received === 'undefined') return 'is missing';
  const names = expected?.replaceAll(/[()"]/g, '').split(' | ') ?? [];
  const wanted = names.length > 1 ? `one of ${names.join(', ')}` : names[0];
  return `expected ${type === 'integer' ? 'a whole number' : (wanted ?? message)}, got ${received}`;
}

/** The prefix scheme that a configuration names. */
export function prefixScheme(config: PrefixConfig): PrefixScheme {
  switch (config.kind) {
    case 'truncated-pareto': {
      const { kind: _, ...options } = config;
      return truncatedPareto(options);
    }
    case 'fixed-widths':
      return fixedWidths(config.lengths, config.weights);
    case 'fractions':
      return fractions(config.blocks, config.weights);
    case 'geometric': {
      const { kind: _, ...options } = config;
      return geometricWidths(options);
    }
    case 'every': {
      const { kind: _, ...options } = config;
      return everyPrefix(options);
    }
    case 'full':
      return fullPrefix();
  }
}
