/** The flags of `msae train`: those of the schema, and what concerns the command alone. */
import { msaeError } from '@msae/schema';
import type { ArgsDef } from 'citty';
import { flagArguments } from '../options/flagArguments.ts';
import { configurationOf, type FlagTexts, type Json } from '../options/fromFlags.ts';
import { trainSettings } from './trainConfig.ts';

/** Flags that people use every day, in the order of the help; the others come after them. */
const common = [
  'latents',
  'activation',
  'k',
  'penalty',
  'target-l0',
  'steps',
  'batch',
  'lr',
  'epochs',
  'backend',
  'threads',
];

const generated = flagArguments(trainSettings);

export const trainArgs: ArgsDef = {
  data: {
    type: 'positional',
    required: false,
    description: "a store's directory, .npy, .npz, .safetensors or .parquet (path or URL)",
  },
  config: { type: 'string', description: 'JSON file with the settings; flags go over it', valueHint: 'path' },
  out: { type: 'string', description: 'directory of the run', valueHint: 'dir', required: true },
  resume: { type: 'boolean', description: 'continue the run in --out from its newest checkpoint' },
  ...Object.fromEntries(common.map((name) => [name, generated[name]!])),
  prefixes: {
    type: 'string',
    description:
      "prefixes that count in a step: 10 (so many, sampled), 256,512,1024 (these widths), 'every', 'full', or a scheme's name with --prefixes-… flags",
    valueHint: 'which',
  },
  seed: { type: 'string', description: 'seed of weights, prefixes and shuffle', valueHint: 'n' },
  ...Object.fromEntries(
    Object.entries(generated).filter(([name]) => !common.includes(name) && name !== 'prefixes'),
  ),
  tensorboard: { type: 'boolean', description: 'also write TensorBoard event files to OUT/tensorboard' },
  json: { type: 'boolean', description: 'events as JSON lines on stdout, no progress bar' },
};

/** Flags as nested settings. @throws MsaeError `option` for a flag that cannot be read */
export function flagSettings(flags: FlagTexts): Json {
  const { prefixes, seed, data, ...rest } = flags;
  const settings = configurationOf(trainSettings, rest);
  const [sae, training, dataset] = [
    group(settings, 'sae'),
    group(settings, 'training'),
    group(settings, 'data'),
  ];
  if (typeof data === 'string') dataset.path = data;
  if (typeof seed === 'string') {
    const value = Number(seed);
    if (seed.trim() === '' || !Number.isSafeInteger(value)) {
      throw msaeError('option', `--seed: expected a whole number, got '${seed}'`);
    }
    sae.seed ??= value;
    training.seed ??= value;
    dataset.shuffle ??= value;
  }
  // k alone means topk, a target L0 alone the PI controller
  defaultKind(sae, 'activation', 'topk');
  defaultKind(training, 'sparsityController', 'pi');
  defaultKind(training, 'schedule', 'wsd');
  if (typeof prefixes === 'string')
    training.prefixes = { ...prefixSettings(prefixes), ...(training.prefixes as Json) };
  else defaultKind(training, 'prefixes', 'truncated-pareto');
  return clean({ ...settings, sae, training, data: dataset });
}

function group(settings: Json, name: string): Json {
  return { ...(settings[name] as Json | undefined) };
}

function defaultKind(of: Json, name: string, kind: string): void {
  const value = of[name];
  if (typeof value === 'object' && value !== null && !('kind' in value)) of[name] = { kind, ...value };
}

/** `10`, `256,512,1024`, `every`, `full`, or a scheme's kind. */
function prefixSettings(given: string): Json {
  const words = given.split(',').map((word) => word.trim());
  const numbers = words.map(Number);
  if (words.every((word) => word !== '') && numbers.every((n) => Number.isInteger(n) && n >= 0)) {
    if (numbers.length > 1) return { kind: 'fixed-widths', lengths: numbers };
    const count = numbers[0]!;
    if (count >= 1) return count === 1 ? { kind: 'full' } : { kind: 'truncated-pareto', count };
  }
  if (given === 'every') return { kind: 'every-prefix' };
  if (/^[a-z-]+$/.test(given)) return { kind: given };
  throw msaeError(
    'option',
    `--prefixes: expected a number of prefixes, widths such as 256,512,1024, 'every' or 'full', got '${given}'`,
  );
}

/** Without the objects that are empty. */
function clean(settings: Json): Json {
  const kept = Object.entries(settings).filter(
    ([, value]) =>
      value !== undefined &&
      !(typeof value === 'object' && value !== null && Object.keys(value).length === 0),
  );
  return Object.fromEntries(kept);
}
