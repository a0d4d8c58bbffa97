/** Options of the main job, checked before anything starts. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface JobOptions {
  /** Training steps of 512 tokens for each SAE. */
  readonly steps: number;
  /** Training tokens harvested. */
  readonly tokens: number;
  /** Held-out tokens to measure on. */
  readonly heldOut: number;
  /** Seeds 0 … seeds − 1, each with a Matryoshka and a vanilla SAE. */
  readonly seeds: number;
  readonly activation: 'batchtopk' | 'topk' | 'log';
  readonly prefixes: 'fixed' | 'pareto';
  readonly backend: 'auto' | 'wasm' | 'tensorflow' | 'webgpu' | 'cuda' | 'cpu';
  readonly threads: number;
  readonly out: string;
  readonly json: boolean;
}

export const HELP = `npm start -- [options]

  --steps N          training steps of 512 tokens for each SAE (default 4000)
  --tokens N         training tokens to harvest (default 600000; Brown has about 1.4 million)
  --held-out N       held-out tokens to measure on (default: all, about 167 thousand)
  --seeds N          train and compare this many pairs of SAEs (default 1)
  --activation KIND  batchtopk (default) or topk, 24 active latents; or log: ReLU with the write-up's log penalty, steered to 24
  --prefixes KIND    fixed (default: 128, 256, 512, 1024, 2048) or pareto: ten random ones a step, as in the write-up
  --backend NAME     wasm (default), auto, tensorflow, webgpu, cuda, cpu
  --threads N        default: all cores
  --out DIR          default runs/brown-lm; what is there already is used again
  --json             the result as one JSON object on stdout

Ctrl-C saves a checkpoint; the same command goes on from it.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`;

/** A mistake in the options, for exit code 2. */
export class UsageError extends Error {}

const KINDS = {
  activation: ['batchtopk', 'topk', 'log'],
  prefixes: ['fixed', 'pareto'],
  backend: ['wasm', 'auto', 'tensorflow', 'webgpu', 'cuda', 'cpu'],
} as const;

const FLAGS = [
  'steps',
  'tokens',
  'held-out',
  'seeds',
  'activation',
  'prefixes',
  'backend',
  'threads',
  'out',
  'json',
  'help',
];

/** Throws a UsageError that says what would do. */
export function parseOptions(argv: readonly string[]): JobOptions | 'help' {
  const given = argv.filter((arg) => arg !== '--');
  for (const arg of given.filter((a) => a.startsWith('--'))) {
    const name = arg.slice(2).split('=')[0]!;
    if (!FLAGS.includes(name)) {
      throw new UsageError(`unknown option --${name}; did you mean --${nearest(name)}? --help lists all`);
    }
  }
  let values: Record<string, string | boolean | undefined>;
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    values = parseArgs({
      args: given,
      options: Object.fromEntries(
        FLAGS.map((name) => [name, name === 'json' || name === 'help' ? flag : text]),
      ),
    }).values as Record<string, string | boolean | undefined>;
  } catch (error) {
    throw new UsageError(`${(error as Error).message}; --help lists all options`);
  }
  if (values.help) return 'help';
  const whole = (name: string, fallback: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new UsageError(`--${name}: expected a whole number of at least 1, got ${values[name]}`);
    }
    return value;
  };
  const kind = <K extends keyof typeof KINDS>(name: K): (typeof KINDS)[K][number] => {
    const value = values[name] ?? KINDS[name][0];
    const found = KINDS[name].find((known) => known === value);
    if (found === undefined) {
      throw new UsageError(`--${name}: expected one of ${KINDS[name].join(', ')}, got ${value}`);
    }
    return found;
  };
  return {
    steps: whole('steps', 4000),
    tokens: whole('tokens', 600_000),
    heldOut: values['held-out'] === undefined ? Number.MAX_SAFE_INTEGER : whole('held-out', 1),
    seeds: whole('seeds', 1),
    activation: kind('activation'),
    prefixes: kind('prefixes'),
    backend: kind('backend'),
    threads: whole('threads', availableParallelism()),
    out: String(values.out ?? 'runs/brown-lm'),
    json: values.json === true,
  };
}

/** The known flag with the smallest edit distance. */
function nearest(name: string): string {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length]!;
  };
  return [...FLAGS].sort((a, b) => distance(name, a) - distance(name, b))[0]!;
}
