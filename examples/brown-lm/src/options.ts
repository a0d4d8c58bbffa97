/** Options of the main job, checked before anything starts: one schema for the flags, their checks and the help text. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import {
  check,
  choice,
  didYouMean,
  flag,
  msaeError,
  object,
  optional,
  optionRows,
  type Schema,
  text,
  whole,
} from '@msae/schema';

export interface JobOptions {
  readonly steps: number;
  readonly tokens: number;
  readonly heldOut?: number;
  readonly seeds: number;
  readonly activation: 'batchtopk' | 'topk' | 'log';
  readonly prefixes: 'fixed' | 'pareto';
  readonly backend: 'auto' | 'wasm' | 'tensorflow' | 'webgpu' | 'cuda' | 'cpu';
  readonly threads?: number;
  readonly out: string;
  readonly json: boolean;
}

const entries: { readonly [K in keyof Required<JobOptions>]: Schema<Required<JobOptions>[K]> } = {
  steps: optional(whole({ min: 1, help: 'training steps of 512 tokens for each SAE' }), 4000),
  tokens: optional(
    whole({ min: 1, help: 'training tokens to harvest; Brown has about 1.4 million' }),
    600_000,
  ),
  heldOut: optional(
    whole({ min: 1, help: 'held-out tokens to measure on; without it all, about 167 thousand' }),
  ),
  seeds: optional(whole({ min: 1, help: 'train and compare this many pairs of SAEs' }), 1),
  activation: optional(
    choice(['batchtopk', 'topk', 'log'], {
      help: "24 active latents; log: ReLU with the write-up's log penalty, steered to 24",
    }),
    'batchtopk',
  ),
  prefixes: optional(
    choice(['fixed', 'pareto'], {
      help: '128, 256, 512, 1024, 2048; or ten random ones a step, as in the write-up',
    }),
    'fixed',
  ),
  backend: optional(
    choice(['wasm', 'auto', 'tensorflow', 'webgpu', 'cuda', 'cpu'], { help: 'what computes' }),
    'wasm',
  ),
  threads: optional(whole({ min: 1, help: 'without it all cores' })),
  out: optional(text({ help: 'what is there already is used again' }), 'runs/brown-lm'),
  json: optional(flag({ help: 'the result as one JSON object on stdout' }), false),
};
const schema: Schema<JobOptions> = object<JobOptions>(entries);

const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const FLAGS: readonly string[] = [...Object.keys(entries).map(flagOf), 'help'];

export const HELP: string = `npm start -- [options]

${optionRows(schema)
  .map(({ path, expects, default: usual, help }) => {
    const usually = usual === undefined || usual === false ? '' : ` (default ${usual})`;
    return `  --${flagOf(path).padEnd(13)} ${help}; ${expects}${usually}`;
  })
  .join('\n')}

Ctrl-C saves a checkpoint; the same command goes on from it.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`;

/** @throws MsaeError `option` that says what would do */
export function parseOptions(argv: readonly string[]): (JobOptions & { readonly threads: number }) | 'help' {
  const given = argv.filter((arg) => arg !== '--');
  for (const arg of given.filter((a) => a.startsWith('--'))) {
    const name = arg.slice(2).split('=')[0]!;
    if (!FLAGS.includes(name)) {
      throw msaeError(
        'option',
        `there is no option --${name}${didYouMean(name, FLAGS, '--')}; --help lists all`,
      );
    }
  }
  let values: Record<string, string | boolean | undefined>;
  try {
    const type = (name: string) => (name === 'json' || name === 'help' ? 'boolean' : 'string');
    values = parseArgs({
      args: given,
      options: Object.fromEntries(FLAGS.map((name) => [name, { type: type(name) }])),
    }).values as Record<string, string | boolean | undefined>;
  } catch (cause) {
    throw msaeError('option', `${(cause as Error).message}; --help lists all options`, { cause });
  }
  if (values.help) return 'help';
  const job: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries<Schema<unknown>>(entries)) {
    const value = values[flagOf(name)];
    const checked = check(entry, numeric(value), `--${flagOf(name)}`);
    if (checked !== undefined) job[name] = checked;
  }
  return { threads: availableParallelism(), ...check(schema, job, 'npm start') };
}

/** The number that a text is, or what was given. */
function numeric(value: unknown): unknown {
  return typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))
    ? Number(value)
    : value;
}
