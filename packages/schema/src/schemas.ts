/** The schemas that options are written in: valibot underneath, with help texts and messages of one kind. */
import * as v from 'valibot';
import { type LeafValue, type Schema, withNode } from './check.ts';
import { didYouMean } from './didYouMean.ts';

/** What a person should know about an option. */
export interface FieldNotes {
  /** One line: what it is, its unit. */
  readonly help?: string;
}

/** Bounds of a number. */
export interface NumberNotes extends FieldNotes {
  readonly min?: number;
  readonly max?: number;
  /** Exclusive bounds. */
  readonly above?: number;
  readonly below?: number;
}

function leaf<T>(
  value: LeafValue,
  expects: string,
  ok: (value: unknown) => boolean,
  { help }: FieldNotes,
  values?: readonly unknown[],
): Schema<T> {
  const names = values?.filter((value) => typeof value === 'string') ?? [];
  const message = (issue: { readonly input: unknown }): string =>
    typeof issue.input === 'string' ? expects + didYouMean(issue.input, names) : expects;
  return withNode<T>(v.custom<T>(ok, message), {
    type: 'leaf',
    value,
    expects,
    ...(values && { values }),
    ...(help !== undefined && { help }),
  });
}

function bounded(value: unknown, { min, max, above, below }: NumberNotes): boolean {
  return (
    typeof value === 'number' &&
    Number.isFinite(value) &&
    !(min !== undefined && value < min) &&
    !(max !== undefined && value > max) &&
    !(above !== undefined && value <= above) &&
    !(below !== undefined && value >= below)
  );
}

function bounds({ min, max, above, below }: NumberNotes): string {
  const low = min !== undefined ? `≥ ${min}` : above !== undefined ? `> ${above}` : '';
  const high = max !== undefined ? `≤ ${max}` : below !== undefined ? `< ${below}` : '';
  return [low, high].filter(Boolean).join(' and ');
}

/** A finite number within bounds. */
export function number(notes: NumberNotes = {}): Schema<number> {
  const range = bounds(notes);
  return leaf(
    'number',
    range ? `a number ${range}` : 'a finite number',
    (value) => bounded(value, notes),
    notes,
  );
}

/** A whole number within bounds. */
export function whole(notes: NumberNotes = {}): Schema<number> {
  const range = bounds(notes);
  return leaf(
    'number',
    range ? `a whole number ${range}` : 'a whole number',
    (value) => Number.isSafeInteger(value) && bounded(value, notes),
    notes,
  );
}

/** true or false. */
export function flag(notes: FieldNotes = {}): Schema<boolean> {
  return leaf('boolean', 'true or false', (value) => typeof value === 'boolean', notes, [true, false]);
}

/** A string that is not empty. */
export function text(notes: FieldNotes = {}): Schema<string> {
  return leaf('text', 'text', (value) => typeof value === 'string' && value !== '', notes);
}

/** One of some values. */
export function choice<const T extends string | number | boolean | null>(
  values: readonly T[],
  notes: FieldNotes = {},
): Schema<T> {
  return leaf(
    'choice',
    `one of ${values.join(', ')}`,
    (value) => (values as readonly unknown[]).includes(value),
    notes,
    values,
  );
}

/** This value and no other. */
export function literal<const T extends string | number | boolean | null>(
  value: T,
  notes: FieldNotes = {},
): Schema<T> {
  return withNode<T>(v.literal(value as string, JSON.stringify(value)), {
    type: 'leaf',
    value: 'choice',
    expects: JSON.stringify(value),
    values: [value],
    ...(notes.help !== undefined && { help: notes.help }),
  });
}

/** Anything that a function accepts: for values that are no plain data (a storage, a callback). */
export function givenBy<T>(
  expects: string,
  ok: (value: unknown) => boolean,
  notes: FieldNotes = {},
): Schema<T> {
  return leaf('other', expects, ok, notes);
}

/** A list of one kind of thing. */
export function list<T>(
  item: Schema<T>,
  notes: FieldNotes & { readonly least?: number } = {},
): Schema<readonly T[]> {
  const { help, least = 0 } = notes;
  const array = v.array(item as v.GenericSchema<unknown, T>);
  const schema = least > 0 ? v.pipe(array, v.minLength(least, `a list of at least ${least}`)) : array;
  return withNode(schema, { type: 'list', item, ...(help !== undefined && { help }) });
}

/** Settings by name; any other name is refused with the nearest one. */
export function object<T extends object>(
  entries: { readonly [K in keyof T]-?: Schema<Exclude<T[K], undefined>> | Schema<T[K]> },
  { help }: FieldNotes = {},
): Schema<T> {
  const names = Object.keys(entries);
  const schema = v.strictObject(entries as v.ObjectEntries, (issue) => {
    const name = String(issue.path?.at(-1)?.key ?? '');
    return `there is no option ${name}${didYouMean(name, names)}; there are ${names.join(', ')}`;
  });
  return withNode<T>(schema, {
    type: 'object',
    entries: { ...entries } as Record<string, v.GenericSchema>,
    ...(help !== undefined && { help }),
  });
}

/** One of several objects, told apart by a key (`kind`); each option's entries do not repeat the key. */
export function variant<T extends object>(
  key: keyof T & string,
  options: Readonly<Record<string, Schema<never> | Schema<unknown> | v.GenericSchema>>,
  { help }: FieldNotes = {},
): Schema<T> {
  const schema = v.variant(key, Object.values(options) as never);
  return withNode<T>(schema, {
    type: 'variant',
    key,
    options: options as Readonly<Record<string, v.GenericSchema>>,
    ...(help !== undefined && { help }),
  });
}

/** Settings, or `false` for off. */
export function switchable<T>(inner: Schema<T>): Schema<T | false> {
  const off = v.literal(false);
  const schema = v.lazy((input) => (input === false ? off : inner) as v.GenericSchema<unknown, T | false>);
  return withNode(schema, { type: 'switchable', inner });
}

/** A value or `null`. */
export function nullable<T>(inner: Schema<T>): Schema<T | null> {
  return withNode(v.nullable(inner), { type: 'nullable', inner });
}

/** An option that may be left out; `fallback` is its value then. */
export function optional<T>(inner: Schema<T>, fallback?: T): Schema<T> {
  const schema = fallback === undefined ? v.optional(inner) : v.optional(inner, fallback as never);
  return withNode(schema, { type: 'optional', inner, default: fallback });
}
