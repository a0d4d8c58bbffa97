import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  check,
  choice,
  didYouMean,
  flag,
  givenBy,
  isMsaeError,
  list,
  literal,
  msaeError,
  nearestNames,
  nullable,
  number,
  object,
  optional,
  optionRows,
  optionTable,
  type Schema,
  schemaNode,
  switchable,
  text,
  variant,
  whole,
} from '../src/index.ts';

interface Options {
  rows: number;
  keep?: number;
  rate?: number | null;
  loud?: boolean;
  name?: string;
  shape?: 'round' | 'flat';
  sizes?: readonly number[];
  extra?: { weight?: number } | false;
  activation?: { kind: 'topk'; k: number } | { kind: 'relu' };
  place?: { write(): void };
}

const schema: Schema<Options> = object<Options>({
  rows: whole({ min: 1, help: 'rows of a batch' }),
  keep: optional(whole({ min: 1, max: 9, help: 'how many to keep' }), 3),
  rate: optional(nullable(number({ above: 0, below: 1, help: 'the rate' }))),
  loud: optional(flag({ help: 'say it' })),
  name: optional(text()),
  shape: optional(choice(['round', 'flat']), 'round'),
  sizes: optional(list(whole({ min: 0 }), { least: 1, help: 'sizes' })),
  extra: optional(switchable(object<{ weight?: number }>({ weight: optional(number(), 2) })), false),
  activation: optional(
    variant<NonNullable<Options['activation']>>('kind', {
      topk: object<{ kind: 'topk'; k: number }>({ kind: literal('topk'), k: whole({ min: 1, help: 'k' }) }),
      relu: object<{ kind: 'relu' }>({ kind: literal('relu') }),
    }),
  ),
  place: optional(
    givenBy<{ write(): void }>(
      'a place',
      (value) => typeof (value as { write?: unknown } | null)?.write === 'function',
    ),
  ),
});

function refusal(value: unknown): string {
  try {
    check(schema, value, 'store');
  } catch (error) {
    expect(isMsaeError(error, 'option')).toBe(true);
    expect(error).toBeInstanceOf(RangeError);
    return (error as Error).message;
  }
  return 'nothing was refused';
}

describe('check', () => {
  it('fills defaults in and leaves what was given', () => {
    expect(check(schema, { rows: 2 }, 'store')).toEqual({ rows: 2, keep: 3, shape: 'round', extra: false });
    const place = { write() {} };
    const given = { rows: 2, keep: 4, rate: null, extra: {}, activation: { kind: 'topk', k: 3 }, place };
    const checked = check(schema, given, 'store');
    expect(checked).toEqual({ ...given, shape: 'round', extra: { weight: 2 } });
    expect(checked.place).toBe(place);
  });

  it.each([
    [{ rows: 2, kepe: 3 }, /^store: there is no option kepe \(did you mean keep\?\); there are rows, keep, /],
    [{}, 'store: rows: is missing'],
    [{ rows: 0 }, 'store: rows: expected a whole number ≥ 1, got 0'],
    [{ rows: 1.5 }, 'store: rows: expected a whole number ≥ 1, got 1.5'],
    [{ rows: Number.NaN }, 'store: rows: expected a whole number ≥ 1, got NaN'],
    [{ rows: '4' }, 'store: rows: expected a whole number ≥ 1, got "4"'],
    [{ rows: 1, keep: 10 }, 'store: keep: expected a whole number ≥ 1 and ≤ 9, got 10'],
    [{ rows: 1, rate: 1 }, 'store: rate: expected a number > 0 and < 1, got 1'],
    [{ rows: 1, loud: 'yes' }, 'store: loud: expected true or false, got "yes"'],
    [{ rows: 1, name: '' }, 'store: name: expected text, got ""'],
    [
      { rows: 1, shape: 'flatt' },
      'store: shape: expected one of round, flat (did you mean flat?), got "flatt"',
    ],
    [{ rows: 1, sizes: [] }, /sizes: expected a list of at least 1|sizes: expected .*1/],
    [{ rows: 1, sizes: [1, -1] }, 'store: sizes.1: expected a whole number ≥ 0, got -1'],
    [{ rows: 1, extra: true }, 'store: extra: expected an object with settings, got true'],
    [{ rows: 1, extra: { wait: 1 } }, /^store: extra: there is no option wait \(did you mean weight\?\)/],
    [
      { rows: 1, activation: { kind: 'topp', k: 1 } },
      'store: activation.kind: expected one of topk, relu, got "topp" (did you mean topk?)',
    ],
    [{ rows: 1, activation: { kind: 'relu', k: 1 } }, /^store: activation: there is no option k/],
    [{ rows: 1, activation: { kind: 'topk' } }, 'store: activation.k: is missing'],
    [{ rows: 1, place: 'here' }, 'store: place: expected a place, got "here"'],
    [7, 'store: expected an object with settings, got 7'],
    [null, 'store: expected an object with settings, got null'],
  ])('%j is refused in words', (value, message) => {
    if (typeof message === 'string') expect(refusal(value)).toBe(message);
    else expect(refusal(value)).toMatch(message);
  });

  it('tells every mistake, one line each', () => {
    expect(refusal({ rows: 0, keep: 0, colour: 1 }).split('\n')).toHaveLength(3);
  });

  it('never throws anything but its own error, whatever it is given', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        try {
          check(schema, value, 'x');
        } catch (error) {
          expect(isMsaeError(error, 'option')).toBe(true);
        }
      }),
    );
  });
});

describe('a schema read back', () => {
  it('is a row for every option, with defaults', () => {
    const rows = optionRows(schema);
    expect(rows.map(({ path }) => path)).toEqual([
      'rows',
      'keep',
      'rate',
      'loud',
      'name',
      'shape',
      'sizes',
      'extra',
      'extra.weight',
      'activation.kind',
      'activation[topk].k',
      'place',
    ]);
    expect(rows[0]).toEqual({
      path: 'rows',
      expects: 'a whole number ≥ 1',
      required: true,
      default: undefined,
      help: 'rows of a batch',
    });
    expect(rows[1]).toMatchObject({ required: false, default: 3 });
    expect(rows[2]?.expects).toBe('a number > 0 and < 1, or null');
    expect(optionTable(schema).split('\n')).toHaveLength(rows.length + 2);
  });

  it('knows only schemas of its own', () => {
    expect(() => schemaNode({} as never)).toThrow('was not made by @msae/schema');
  });
});

describe('errors', () => {
  it('carry a code and details, and are what JavaScript programmers expect', () => {
    const cause = new Error('why');
    const error = msaeError('file', 'x.bin: too short', { cause, file: 'x.bin', byte: 7 });
    expect(error).toMatchObject({ message: 'x.bin: too short', code: 'file', cause });
    expect(error.details).toEqual({ file: 'x.bin', byte: 7 });
    expect(error).not.toBeInstanceOf(RangeError);
    for (const code of ['option', 'shape', 'value'] as const)
      expect(msaeError(code, 'x')).toBeInstanceOf(RangeError);
    expect(isMsaeError(error)).toBe(true);
    expect(isMsaeError(error, 'option')).toBe(false);
    expect(isMsaeError(Object.assign(new Error('x'), { code: 'file' }))).toBe(false);
    expect(isMsaeError('x')).toBe(false);
  });
});

describe('names', () => {
  it.each([
    ['learningrate', ['learningRate', 'seed'], ' (did you mean learningRate?)'],
    ['max_rows', ['max-rows'], ' (did you mean max-rows?)'],
    ['quite-another', ['rows', 'keep'], ''],
  ])('%s of %j', (wrong, known, hint) => expect(didYouMean(wrong, known)).toBe(hint));

  it('the nearest come first, those that contain the wrong one before all', () => {
    expect(nearestNames('resid', ['mlp_out', 'hook_resid_post', 'reside'], 2)).toEqual([
      'hook_resid_post',
      'reside',
    ]);
  });

  it('are found in time for names as long as anyone likes', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 5000 }),
        fc.array(fc.string({ maxLength: 5000 }), { maxLength: 5 }),
        (wrong, known) => {
          const near = nearestNames(wrong, known);
          expect(near.every((name) => known.includes(name))).toBe(true);
        },
      ),
    );
  });
});
