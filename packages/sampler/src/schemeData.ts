/** Prefix schemes as data: one schema, from which checks, flags and tables derive, and the way back to a scheme that draws. */
import {
  check,
  choice,
  list,
  literal,
  number,
  object,
  optional,
  type Schema,
  variant,
  whole,
} from '@msae/schema';
import type { PrefixScheme, PrefixSchemeData } from './prefixes.ts';
import {
  type EveryPrefixOptions,
  everyPrefix,
  fixedWidths,
  fractions,
  fullPrefix,
  type GeometricOptions,
  geometricWidths,
} from './schemes.ts';
import { type TruncatedParetoOptions, truncatedPareto } from './truncatedPareto.ts';

interface Widths {
  kind: 'fixed-widths';
  lengths: readonly number[];
  weights?: readonly number[];
}
interface Fractions {
  kind: 'fractions';
  blocks: readonly number[];
  weights?: readonly number[];
}
type Kind<K extends string, O> = { kind: K } & O;

const reduction = optional(choice(['sum', 'mean'], { help: 'weights of 1 each, or of 1 together' }));
const count = (help: string): Schema<number> => optional(whole({ min: 1, help }));
const power = optional(number({ above: 0, help: 'α: smaller favours shorter prefixes' }));
const minLength = optional(whole({ min: 1, help: 'the shortest prefix' }));
const weights = optional(list(number({ min: 0 }), { help: 'one weight for each prefix; default 1' }));

/** Options of any prefix scheme, told apart by `kind`. */
export const prefixSchemeSchema: Schema<PrefixSchemeData> = variant<PrefixSchemeData>(
  'kind',
  {
    'truncated-pareto': object<Kind<'truncated-pareto', TruncatedParetoOptions>>({
      kind: literal('truncated-pareto'),
      count: count('prefixes a step'),
      power,
      minLength,
      reduction,
    }),
    'fixed-widths': object<Widths>({
      kind: literal('fixed-widths'),
      lengths: list(whole({ min: 0 }), { least: 1, help: 'prefix lengths, ascending; N is added' }),
      weights,
    }),
    fractions: object<Fractions>({
      kind: literal('fractions'),
      blocks: list(number({ above: 0 }), { least: 1, help: 'block sizes as fractions of N, 1 together' }),
      weights,
    }),
    geometric: object<Kind<'geometric', GeometricOptions>>({
      kind: literal('geometric'),
      count: whole({ min: 1, help: 'prefixes, N among them' }),
      ratio: optional(number({ above: 1, help: 'each is this many times the one before' })),
      reduction,
    }),
    'every-prefix': object<Kind<'every-prefix', EveryPrefixOptions>>({
      kind: literal('every-prefix'),
      count: count('prefixes of the sampled loss whose expectation this is'),
      power,
      minLength,
      reduction,
    }),
    full: object<{ kind: 'full' }>({ kind: literal('full') }),
  },
  { help: 'which prefixes of the latents count in a step' },
);

const makers: Readonly<Record<string, (data: never) => PrefixScheme>> = {
  'truncated-pareto': ({ kind: _, ...options }: Kind<'truncated-pareto', TruncatedParetoOptions>) =>
    truncatedPareto(options),
  'fixed-widths': ({ lengths, weights: w }: Widths) => fixedWidths(lengths, w),
  fractions: ({ blocks, weights: w }: Fractions) => fractions(blocks, w),
  geometric: ({ kind: _, ...options }: Kind<'geometric', GeometricOptions>) => geometricWidths(options),
  'every-prefix': ({ kind: _, ...options }: Kind<'every-prefix', EveryPrefixOptions>) => everyPrefix(options),
  full: () => fullPrefix(),
};

/** The scheme that some data describes (a scheme's own JSON, or options by hand). @throws MsaeError `option` */
export function prefixScheme(data: PrefixSchemeData): PrefixScheme {
  const { sample: _, ...plain } = data;
  const checked = check(prefixSchemeSchema, plain, 'prefixes');
  return makers[checked.kind]!(checked as never);
}
