/** The flags of `msae train` as a configuration: what they say goes over what the file says. */
import type { ArgsDef } from 'citty';
import { UsageError } from '../usageError.ts';

export const trainArgs: ArgsDef = {
  data: {
    type: 'positional',
    required: false,
    description: "a store's directory, .npy, .npz, .safetensors or .parquet (path or URL)",
  },
  config: { type: 'string', description: 'JSON file with the settings; flags go over it', valueHint: 'path' },
  out: { type: 'string', description: 'directory of the run', valueHint: 'dir', required: true },
  resume: { type: 'boolean', description: 'continue the run in --out from its newest checkpoint' },
  key: { type: 'string', description: 'array, tensor or column of the data, where there are several' },
  latents: { type: 'string', description: 'number of latents', valueHint: 'n' },
  activation: { type: 'string', description: 'relu, topk, batchtopk or jumprelu' },
  k: { type: 'string', description: 'active latents of topk and batchtopk', valueHint: 'n' },
  penalty: { type: 'string', description: 'none, l1, log, sqrt or tanh' },
  'target-l0': { type: 'string', description: 'steer the penalty to this L0', valueHint: 'x' },
  prefixes: { type: 'string', description: "sampled prefixes a step, 'every' or 'full'", valueHint: 'n' },
  steps: { type: 'string', description: 'training steps; default: one pass over the data', valueHint: 'n' },
  batch: { type: 'string', description: 'rows a step', valueHint: 'n' },
  lr: { type: 'string', description: 'learning rate', valueHint: 'x' },
  seed: { type: 'string', description: 'seed of weights, prefixes and shuffle', valueHint: 'n' },
  epochs: {
    type: 'string',
    description: 'passes over the data; default: what --steps needs, or one',
    valueHint: 'n',
  },
  'checkpoint-every': { type: 'string', description: 'steps between checkpoints', valueHint: 'n' },
  'report-every': { type: 'string', description: 'steps between reports', valueHint: 'n' },
  backend: { type: 'string', description: 'auto, cuda, tensorflow, webgpu, wasm or cpu' },
  threads: { type: 'string', description: 'CPU threads', valueHint: 'n' },
  tensorboard: { type: 'boolean', description: 'also write TensorBoard event files to OUT/tensorboard' },
  json: { type: 'boolean', description: 'events as JSON lines on stdout, no progress bar' },
};

/** What the flags say; those that were not given are absent. */
export interface TrainFlags {
  readonly out: string;
  readonly data?: string;
  readonly config?: string;
  readonly resume?: boolean;
  readonly key?: string;
  readonly latents?: string;
  readonly activation?: string;
  readonly k?: string;
  readonly penalty?: string;
  readonly 'target-l0'?: string;
  readonly prefixes?: string;
  readonly steps?: string;
  readonly batch?: string;
  readonly lr?: string;
  readonly seed?: string;
  readonly epochs?: string;
  readonly 'checkpoint-every'?: string;
  readonly 'report-every'?: string;
  readonly backend?: string;
  readonly threads?: string;
  readonly tensorboard?: boolean;
  readonly json?: boolean;
}

/** Which setting a flag gives; `--prefixes` checks itself. */
const settings: Readonly<Partial<Record<keyof TrainFlags, string>>> = {
  latents: 'sae.nLatents',
  activation: 'sae.activation.kind',
  k: 'sae.activation.k',
  penalty: 'sae.penalty.kind',
  'target-l0': 'training.sparsityController.targetL0',
  steps: 'training.totalSteps',
  batch: 'training.batchSize',
  lr: 'training.learningRate',
  seed: 'sae.seed',
  epochs: 'data.epochs',
  'checkpoint-every': 'checkpoints.everySteps',
  'report-every': 'training.reportEvery',
  backend: 'backend',
  threads: 'threads',
};

/** The flags that were given, by the path of their setting. */
export function flagOfSetting(flags: TrainFlags): Record<string, string> {
  const given = Object.entries(settings).filter(([flag]) => flags[flag as keyof TrainFlags] !== undefined);
  return Object.fromEntries(given.map(([flag, path]) => [path, flag]));
}

type Json = Record<string, unknown>;

/** Flags as nested settings. @throws Error for a flag that is not a number where one is needed. */
export function flagSettings(flags: TrainFlags): Json {
  const number = (name: keyof TrainFlags): number | undefined => {
    const text = flags[name];
    if (text === undefined || text === false) return undefined;
    const value = Number(text);
    if (text === '' || !Number.isFinite(value))
      throw new UsageError(`--${name}: expected a number, got '${text}'`);
    return value;
  };
  const seed = number('seed');
  const k = number('k');
  const activation = flags.activation ?? (k === undefined ? undefined : 'topk');
  const targetL0 = number('target-l0');
  return clean({
    data: { path: flags.data, key: flags.key, shuffle: seed, epochs: number('epochs') },
    sae: {
      nLatents: number('latents'),
      activation: activation && clean({ kind: activation, k }),
      penalty: flags.penalty && { kind: flags.penalty },
      seed,
    },
    training: {
      totalSteps: number('steps'),
      batchSize: number('batch'),
      learningRate: number('lr'),
      prefixes: prefixSettings(flags.prefixes),
      sparsityController: targetL0 === undefined ? undefined : { kind: 'pi', targetL0 },
      reportEvery: number('report-every'),
      seed,
    },
    checkpoints: { everySteps: number('checkpoint-every') },
    backend: flags.backend,
    threads: number('threads'),
  });
}

function prefixSettings(text: string | undefined): Json | undefined {
  if (text === undefined) return undefined;
  if (text === 'every' || text === 'full') return { kind: text };
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) {
    throw new UsageError(`--prefixes: expected a number of prefixes, 'every' or 'full', got '${text}'`);
  }
  return count === 1 ? { kind: 'full' } : { kind: 'truncated-pareto', count };
}

/** `over` on top of `base`: objects are merged, except that another `kind` replaces the whole. */
export function mergeSettings(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over === undefined ? base : over;
  if ('kind' in over && over.kind !== base.kind) return over;
  const merged: Json = { ...base };
  for (const [name, value] of Object.entries(over)) merged[name] = mergeSettings(base[name], value);
  return merged;
}

/** Without undefined values and the objects they leave empty. */
function clean(value: Json): Json {
  const out: Json = {};
  for (const [name, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const kept = isObject(item) ? clean(item) : item;
    if (!isObject(kept) || Object.keys(kept).length > 0) out[name] = kept;
  }
  return out;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
