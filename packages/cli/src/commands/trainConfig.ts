/** The configuration of `msae train`: one schema, put together from those of the packages that do the work. */
import { type SaeOptions, saeOptionsSchema } from '@msae/core';
import { BACKENDS, type BackendName } from '@msae/node';
import { type PrefixSchemeData, prefixScheme, prefixSchemeSchema } from '@msae/sampler';
import {
  choice,
  list,
  number,
  object,
  optional,
  type Schema,
  schemaNode,
  switchable,
  text,
  whole,
} from '@msae/schema';
import { type Phase, type TrainerOptions, trainerOptionsSchema } from '@msae/train';
import { checkConfiguration, type FlagTexts } from '../options/fromFlags.ts';
import { kebab, type Setting, settingsOf } from '../options/settings.ts';

/** Options of a trainer that are plain data. */
type PlainTrainerOptions = Omit<
  TrainerOptions,
  'totalSteps' | 'prefixes' | 'phases' | 'checkpoints' | 'parts'
>;

/** A phase with its prefixes as data. */
type PhaseConfig = Omit<Phase, 'prefixes'> & { readonly prefixes?: PrefixSchemeData };

type TrainingConfig = PlainTrainerOptions & {
  /** Absent: as many as the data has. */
  readonly totalSteps?: number;
  readonly prefixes: PrefixSchemeData;
  readonly phases?: readonly PhaseConfig[];
};

/** A run's settings. */
export interface TrainConfig {
  readonly data: {
    readonly path: string;
    readonly key?: string;
    readonly shuffle: number | false;
    /** Passes over the data; absent: as many as totalSteps needs, or one. */
    readonly epochs?: number;
    readonly bufferMiB: number;
  };
  readonly sae: Omit<SaeOptions, 'dModel' | 'input' | 'output'>;
  readonly training: TrainingConfig;
  readonly checkpoints: { readonly everySteps: number; readonly keep: number };
  readonly backend: 'auto' | BackendName;
  readonly matmul?: 'wasm' | 'tensorflow';
  readonly threads?: number;
}

type Entries = Readonly<Record<string, Schema<unknown>>>;

function entriesOf(schema: Schema<unknown>): Entries {
  const node = schemaNode(schema);
  if (node.type !== 'object') throw new TypeError('trainConfig: expected the schema of an object');
  return node.entries;
}

/** An object's schema with some entries left out and others put in their place. */
function changed<T extends object>(
  schema: Schema<unknown>,
  without: readonly string[],
  entries: Entries,
): Schema<T> {
  const kept = Object.entries(entriesOf(schema)).filter(([name]) => !without.includes(name));
  return object<T>({ ...Object.fromEntries(kept), ...entries } as never);
}

const prefixes = optional(prefixSchemeSchema, { kind: 'truncated-pareto', count: 10 });
const phase = (): Schema<PhaseConfig> => {
  const node = schemaNode(entriesOf(trainerOptionsSchema).phases!);
  const inner = node.type === 'optional' ? schemaNode(node.inner) : node;
  if (inner.type !== 'list') throw new TypeError('trainConfig: phases are expected to be a list');
  return changed<PhaseConfig>(inner.item, ['prefixes'], { prefixes: optional(prefixSchemeSchema) });
};

const sae = changed<TrainConfig['sae']>(saeOptionsSchema, ['activation', 'init', 'seed'], {
  activation: optional(withoutOptional(entriesOf(saeOptionsSchema).activation!), {
    kind: 'topk',
    k: 32,
  } as never),
  init: optional(withoutOptional(entriesOf(saeOptionsSchema).init!), 'tied' as never),
  seed: optional(withoutOptional(entriesOf(saeOptionsSchema).seed!), 0 as never),
});

const training = changed<TrainingConfig>(
  trainerOptionsSchema,
  ['totalSteps', 'prefixes', 'phases', 'checkpoints', 'parts', 'repeat', 'yieldEveryMs'],
  {
    totalSteps: optional(whole({ min: 1, help: 'training steps; default: one pass over the data' })),
    prefixes,
    phases: optional(list(phase(), { help: 'changes of some options at fractions of the run' })),
  },
);

/** What a run may be told. */
export const trainConfigSchema: Schema<TrainConfig> = object<TrainConfig>({
  data: object<TrainConfig['data']>({
    path: text({ help: 'the data' }),
    key: optional(text({ help: 'array, tensor or column of the data, where there are several' })),
    shuffle: optional(switchable(whole({ help: 'seed of the shuffle, or off' })), 0),
    epochs: optional(whole({ min: 1, help: 'passes over the data; default: what --steps needs, or one' })),
    bufferMiB: optional(number({ above: 0, help: 'memory of the shuffle, MiB' }), 256),
  }),
  sae,
  training: optional(training, {} as TrainingConfig),
  checkpoints: optional(
    object<TrainConfig['checkpoints']>({
      everySteps: optional(whole({ min: 1, help: 'steps between checkpoints' }), 1000),
      keep: optional(whole({ min: 1, help: 'checkpoints to keep' }), 3),
    }),
    {} as TrainConfig['checkpoints'],
  ),
  backend: optional(choice(['auto', ...BACKENDS], { help: 'where it runs' }), 'auto'),
  matmul: optional(choice(['wasm', 'tensorflow'], { help: 'where large products of the wasm backend run' })),
  threads: optional(whole({ min: 1, help: 'CPU threads' })),
});

function withoutOptional(schema: Schema<unknown>): Schema<unknown> {
  const node = schemaNode(schema);
  return node.type === 'optional' ? node.inner : schema;
}

/** Flags that are not called after their path. */
const shortNames: Readonly<Record<string, string>> = {
  'data.bufferMiB': 'buffer-mib',
  'sae.nLatents': 'latents',
  'sae.activation.k': 'k',
  'sae.activation.threshold': 'threshold',
  'sae.activation.bandwidth': 'bandwidth',
  'sae.applyBDecToInput': 'apply-b-dec-to-input',
  'sae.seed': 'sae-seed',
  'training.totalSteps': 'steps',
  'training.batchSize': 'batch',
  'training.learningRate': 'lr',
  'training.seed': 'training-seed',
  'training.sparsityController.targetL0': 'target-l0',
  'checkpoints.everySteps': 'checkpoint-every',
  'checkpoints.keep': 'checkpoint-keep',
};

function flagName(path: string): string {
  return shortNames[path] ?? kebab(path.replace(/^(data|sae|training)\./, ''));
}

/** Everything that a run can be told, but the data's path, which is an argument of its own. */
export const trainSettings: readonly Setting[] = settingsOf(
  trainConfigSchema as Schema<unknown>,
  flagName,
).filter(({ path }) => path !== 'data.path');

/**
 * Checks a configuration: a file's, a flags', or flags over a file.
 * @throws MsaeError `option` with one line for each mistake: where, what was expected, what was given.
 */
export function parseTrainConfig(
  json: unknown,
  file: string | undefined,
  flags: FlagTexts = {},
): TrainConfig {
  return checkConfiguration(trainConfigSchema, json, { settings: trainSettings, flags, file });
}

/** A trainer's options out of a configuration. */
export function trainerOptionsOf({
  training: config,
}: TrainConfig): Omit<TrainerOptions, 'totalSteps' | 'checkpoints'> {
  const { prefixes: scheme, phases, totalSteps: _, ...rest } = config;
  return {
    ...rest,
    prefixes: prefixScheme(scheme),
    ...(phases && {
      phases: phases.map(({ prefixes: ofPhase, ...other }) => ({
        ...other,
        ...(ofPhase && { prefixes: prefixScheme(ofPhase) }),
      })),
    }),
  };
}
