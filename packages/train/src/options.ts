/** What a run may be told: one interface, one schema, from which the checks, the command line's flags and the README's table derive. */
import { activationTraits, type ParamName, type SaeConfig } from '@msae/core';
import { createRng, type PrefixScheme, type PrefixSchemeData } from '@msae/sampler';
import {
  check,
  choice,
  flag,
  givenBy,
  list,
  msaeError,
  nullable,
  number,
  object,
  optional,
  type Schema,
  switchable,
  whole,
} from '@msae/schema';
import type { CheckpointStorage } from './checkpointStorage.ts';
import type { AuxiliaryLossOptions } from './parts/auxiliaryLoss.ts';
import type { DeadLatentOptions } from './parts/deadLatents.ts';
import type { DecoderBiasInitOptions } from './parts/decoderBiasInit.ts';
import type { TrainingPart } from './parts/definition.ts';
import type { KAnnealing } from './parts/kAnnealing.ts';
import type { NormalizerOptions } from './parts/normalizer.ts';
import type { OutlierRowsOptions } from './parts/outlierRows.ts';
import type { PermutationOptions } from './parts/permutation.ts';
import type { Phase } from './parts/phases.ts';
import type { ResamplingOptions } from './parts/resampling.ts';
import type { SparsityControllerOptions } from './parts/sparsityController.ts';
import { standardParts } from './parts/table.ts';
import type { WeightAverageOptions } from './parts/weightAverage.ts';
import { schemeOf, schemeSchema } from './prefixOption.ts';
import { type Schedule, scheduleSchema } from './schedules.ts';

/** Adam's constants, with PyTorch's meaning: ε is added outside √v̂; `weightDecay` is AdamW's (decoupled). */
export interface OptimizerOptions {
  /** Default .9. */
  readonly beta1?: number;
  /** Default .999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled: w ← w (1 − lr · weightDecay) before the step. Default 0. */
  readonly weightDecay?: number;
}

/** What differs for one parameter. */
export interface ParameterGroup {
  /** Multiplies the learning rate. Default 1; 0 freezes the parameter. */
  readonly learningRateFactor?: number;
  /** Replaces the optimizer's weight decay. */
  readonly weightDecay?: number;
}

export interface CheckpointOptions {
  readonly storage: CheckpointStorage;
  /** Steps between two checkpoints; absent: only when the run ends or is aborted. */
  readonly everySteps?: number;
  /** How many to keep; the oldest go first. Default 3. */
  readonly keep?: number;
}

export interface TrainerOptions {
  /** Steps of the whole run; schedules and phases are laid over them. */
  readonly totalSteps: number;
  /** Rows of a batch drawn from an `ActivationSource`; other sources bring their own. Default 1024. */
  readonly batchSize?: number;
  /**
   * How prefixes are chosen at each step: a scheme of `@msae/sampler`, or its data. Default: the write-up's, 10 from a truncated
   * Pareto, equal weights summed.
   */
  readonly prefixes?: PrefixSchemeData;
  /**
   * Which prefixes train W_dec and b_dec. `all` (default): those of the loss, with the same weights. `full`: the full
   * prefix alone, so that the inner ones train only the encoder.
   */
  readonly decoderPrefixes?: 'all' | 'full';
  /** Default 3e-4. */
  readonly learningRate?: number;
  /** Default: 100 steps of warm-up, the last 20 % down to a tenth. */
  readonly schedule?: Schedule;
  readonly optimizer?: OptimizerOptions;
  readonly parameterGroups?: Partial<Record<ParamName, ParameterGroup>>;
  /** Largest global gradient norm; null: no clipping. Default 1. */
  readonly gradClipNorm?: number | null;
  /** λ, without a controller. Default 0. */
  readonly penaltyCoefficient?: number;
  /** λ climbs linearly from 0 over this many steps. Default 0. Not with a controller, which has its own warm-up. */
  readonly penaltyWarmupSteps?: number;
  /**
   * Moves λ until L0 is on target. For jumprelu with penalty `none` and no `l0Penalty` it moves the coefficient of a
   * penalty on L0 itself.
   */
  readonly sparsityController?: SparsityControllerOptions;
  /** jumprelu: a fixed penalty on L0, `coefficient` · L0, or `coefficient` · (L0 / `target` − 1)². Default off. */
  readonly l0Penalty?: { readonly coefficient: number; readonly target?: number };
  /** Steps between two reports to the controller, each of which costs one small readback. Default 1. */
  readonly controlEvery?: number;
  /** For activations that fix L0: topk, batchtopk, abstopk. */
  readonly kAnnealing?: KAnnealing;
  /** Leave rows out that are far longer than the others (massive activations). Default on; `false` keeps them. */
  readonly outlierRows?: OutlierRowsOptions | false;
  /** Scale inputs to a mean norm of √d by a running average. Default on; `false` feeds them as they are. */
  readonly normalizer?: NormalizerOptions | false;
  /** Start b_dec at the geometric median of the first `rows` (at most one batch) rows. Default off. */
  readonly decoderBiasInit?: DecoderBiasInitOptions | false;
  /** Keep decoder rows at norm 1: gradients are projected, rows renormalised after each step. Default false. */
  readonly unitNormDecoder?: boolean;
  /** An exponential average of the weights, for `averagedSae`. Default off. */
  readonly weightAverage?: WeightAverageOptions | false;
  /** Sort latents by contribution while training. Default off. */
  readonly permutation?: PermutationOptions | false;
  /** Count since when a latent has been silent. Default on; needed by the auxiliary loss and by resampling. */
  readonly deadLatents?: DeadLatentOptions | false;
  /** AuxK. Default off. */
  readonly auxiliaryLoss?: AuxiliaryLossOptions | false;
  /** Rewrite dead latents. Default off. */
  readonly resampling?: ResamplingOptions | false;
  /** batchtopk: share of the old inference threshold kept at each step. Default .99. */
  readonly thresholdDecay?: number;
  /** `auto` (default) switches by measured density; both give the same numbers to rounding. */
  readonly path?: 'auto' | 'dense' | 'sparse';
  /** Changes of some options at fractions of the run. */
  readonly phases?: readonly Phase[];
  /** Steps between two metrics events. Default 100. */
  readonly reportEvery?: number;
  readonly checkpoints?: CheckpointOptions;
  /** Seed of the prefix draws and of resampling. Default 0. */
  readonly seed?: number;
  /** Start a source again from its first position when it ends before `totalSteps`. Default false. */
  readonly repeat?: boolean;
  /** Longest time between two turns of the event loop, in ms. Default 20. */
  readonly yieldEveryMs?: number;
  /** Parts of your own, called after the trainer's. */
  readonly parts?: readonly TrainingPart[];
}

type Optional =
  | 'sparsityController'
  | 'l0Penalty'
  | 'kAnnealing'
  | 'checkpoints'
  | 'optimizer'
  | 'parameterGroups';

/** Options with every default filled in. */
export type ResolvedOptions = Required<Omit<TrainerOptions, Optional | 'prefixes'>> &
  Pick<TrainerOptions, Optional> & { readonly prefixes: PrefixScheme };

const group: Schema<ParameterGroup> = object<ParameterGroup>({
  learningRateFactor: optional(number({ min: 0, help: 'multiplies the learning rate; 0 freezes it' })),
  weightDecay: optional(number({ min: 0, help: "replaces the optimizer's" })),
});

const methods = ['list', 'read', 'write', 'remove'] as const;
const storage = givenBy<CheckpointStorage>(
  'a storage (directoryStorage, opfsStorage, memoryStorage)',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function'),
  { help: 'where they go' },
);

const ownPart = givenBy<TrainingPart>(
  'a part: an object with a name of letters, digits, - and _, and a function `start`',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as TrainingPart).start === 'function' &&
    /^[A-Za-z0-9_-]+$/.test((value as TrainingPart).name),
);

const off = <T>({ schema }: { schema: Schema<T> }, fallback: T | false): Schema<T | false> =>
  optional(switchable(schema), fallback);

/** The option `checkpoints`. */
export const checkpointsSchema: Schema<CheckpointOptions> = optional(
  object<CheckpointOptions>({
    storage,
    everySteps: optional(whole({ min: 1, help: 'steps between two; absent: only at the end' })),
    keep: optional(whole({ min: 1, help: 'how many to keep' }), 3),
  }),
);

/** What a run may be told, with its defaults. */
export const trainerOptionsSchema: Schema<TrainerOptions> = object<TrainerOptions>({
  totalSteps: whole({ min: 1, help: 'steps of the whole run' }),
  batchSize: optional(whole({ min: 1, help: 'rows of a batch' }), 1024),
  prefixes: optional(schemeSchema),
  decoderPrefixes: optional(choice(['all', 'full'], { help: 'which prefixes train the decoder' }), 'all'),
  learningRate: optional(number({ above: 0, help: "Adam's learning rate" }), 3e-4),
  schedule: optional(scheduleSchema, { kind: 'wsd', warmupSteps: 100 }),
  optimizer: optional(
    object<OptimizerOptions>({
      beta1: optional(number({ min: 0, below: 1, help: "Adam's β₁" }), 0.9),
      beta2: optional(number({ min: 0, below: 1, help: "Adam's β₂" }), 0.999),
      epsilon: optional(number({ above: 0, help: "Adam's ε, outside the root" }), 1e-8),
      weightDecay: optional(number({ min: 0, help: "AdamW's decay" }), 0),
    }),
  ),
  parameterGroups: optional(
    object<Partial<Record<ParamName, ParameterGroup>>>({
      W_enc: optional(group),
      b_enc: optional(group),
      W_dec: optional(group),
      b_dec: optional(group),
      threshold: optional(group),
    }),
  ),
  gradClipNorm: optional(
    nullable(number({ above: 0, help: 'largest global gradient norm; null: no clipping' })),
    1,
  ),
  penaltyCoefficient: optional(number({ min: 0, help: 'λ, without a controller' }), 0),
  penaltyWarmupSteps: optional(whole({ min: 0, help: 'steps over which λ climbs from 0' }), 0),
  sparsityController: optional(standardParts.sparsityController.schema),
  l0Penalty: optional(
    object<NonNullable<TrainerOptions['l0Penalty']>>(
      {
        coefficient: number({ min: 0, help: 'what L0 costs' }),
        target: optional(number({ above: 0, help: '(L0 / target − 1)² instead of L0' })),
      },
      { help: 'jumprelu: a fixed penalty on L0' },
    ),
  ),
  controlEvery: optional(whole({ min: 1, help: 'steps between two looks of the controller' }), 1),
  kAnnealing: optional(standardParts.kAnnealing.schema),
  outlierRows: off(standardParts.outlierRows, {}),
  normalizer: off(standardParts.normalizer, {}),
  decoderBiasInit: off(standardParts.decoderBiasInit, false),
  unitNormDecoder: optional(standardParts.unitNormDecoder.schema, false),
  weightAverage: off(standardParts.weightAverage, false),
  permutation: off(standardParts.permutation, false),
  deadLatents: off(standardParts.deadLatents, {}),
  auxiliaryLoss: off(standardParts.auxiliaryLoss, false),
  resampling: off(standardParts.resampling, false),
  thresholdDecay: optional(standardParts.thresholdDecay.schema, 0.99),
  path: optional(
    choice(['auto', 'dense', 'sparse'], {
      help: 'auto switches by measured density; both give the same numbers',
    }),
    'auto',
  ),
  phases: optional(standardParts.phases.schema, []),
  reportEvery: optional(whole({ min: 1, help: 'steps between two reports' }), 100),
  checkpoints: checkpointsSchema,
  seed: optional(whole({ help: 'seed of the prefix draws and of resampling' }), 0),
  repeat: optional(flag({ help: 'start the source again when it ends' }), false),
  yieldEveryMs: optional(number({ min: 0, help: 'longest time between two turns of the event loop' }), 20),
  parts: optional(list(ownPart, { help: 'parts of your own' }), []),
});

/** @throws MsaeError `option` that names the option, what was given and what would do. */
export function resolveOptions(config: SaeConfig, options: TrainerOptions): ResolvedOptions {
  // what is `undefined` was left out
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const checked = check(trainerOptionsSchema, given, 'trainer');
  const resolved = {
    ...checked,
    prefixes: schemeOf(
      checked.prefixes ?? { kind: 'truncated-pareto', count: Math.min(10, config.nLatents) },
    ),
  } as ResolvedOptions;
  checkAgainstSae(config, resolved);
  return resolved;
}

/** Names of parts that a run cannot have twice. */
const taken = new Set<string>(Object.keys(standardParts));

function checkAgainstSae(config: SaeConfig, options: ResolvedOptions): void {
  const { activation, nLatents } = config;
  const { l0Penalty, parts, path, phases, prefixes } = options;
  const traits = activationTraits(activation);
  if (path === 'sparse' && traits.selectsAll) {
    throw msaeError(
      'option',
      `path: the ${activation.kind} activation leaves nothing inactive; use path dense or auto`,
    );
  }
  if (l0Penalty !== undefined && traits.learnsThreshold === undefined) {
    throw msaeError(
      'option',
      `l0Penalty trains thresholds, which only jumprelu has; the activation is ${activation.kind}`,
    );
  }
  if (l0Penalty?.target !== undefined && l0Penalty.target > nLatents) {
    throw msaeError(
      'option',
      `l0Penalty.target must lie between 0 and the number of latents, ${nLatents}, got ${l0Penalty.target}`,
    );
  }
  const names = new Set(taken);
  for (const { name } of parts) {
    if (names.has(name)) throw msaeError('option', `parts: there are two parts called ${name}`);
    names.add(name);
  }
  prefixes.sample(nLatents, createRng(0));
  for (const phase of phases) if (phase.prefixes) schemeOf(phase.prefixes).sample(nLatents, createRng(0));
}
