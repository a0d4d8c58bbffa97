/** Typed access to a configuration that somebody else wrote: every wrong field gives one clear error. */
import type { JsonObject } from './folder.ts';
import { formatError, show } from './formatError.ts';

export interface Fields {
  readonly file: string;
  readonly raw: JsonObject;
  /** What messages put before a field's name. */
  readonly path: string;
  has(name: string): boolean;
  /** A whole number ≥ `min` (default 1). */
  integer(name: string, options?: { min?: number; default?: number }): number;
  number(name: string, options?: { default?: number }): number;
  boolean(name: string, fallback: boolean): boolean;
  string(name: string, fallback?: string): string;
  /** One of a set of strings. */
  choice<T extends string>(name: string, values: readonly T[], fallback?: T): T;
  /** An object, empty when absent. */
  object(name: string): JsonObject;
  /** A list of whole numbers, or undefined. */
  integers(name: string): number[] | undefined;
  numbers(name: string): number[] | undefined;
  strings(name: string): string[] | undefined;
}

/** Wraps the object `raw` of `file`; `path` is put before the names in messages. */
export function fieldsOf(file: string, raw: JsonObject, path = ''): Fields {
  const fail = (name: string, expected: string, value: unknown = raw[name]): Error =>
    formatError({ file, field: path + name, found: show(value), expected });
  const absent = (name: string): boolean => raw[name] === undefined || raw[name] === null;
  const list = <T>(name: string, ok: (value: unknown) => boolean, expected: string): T[] | undefined => {
    const value = raw[name];
    if (absent(name)) return undefined;
    if (!Array.isArray(value) || !value.every(ok)) throw fail(name, expected);
    return value as T[];
  };
  return {
    file,
    raw,
    path,
    has: (name) => !absent(name),
    integer(name, { min = 1, default: fallback } = {}) {
      const value = absent(name) ? fallback : raw[name];
      if (!Number.isSafeInteger(value) || (value as number) < min)
        throw fail(name, `a whole number >= ${min}`);
      return value as number;
    },
    number(name, { default: fallback } = {}) {
      const value = absent(name) ? fallback : raw[name];
      if (typeof value !== 'number' || !Number.isFinite(value)) throw fail(name, 'a finite number');
      return value;
    },
    boolean(name, fallback) {
      if (absent(name)) return fallback;
      if (typeof raw[name] !== 'boolean') throw fail(name, 'true or false');
      return raw[name];
    },
    string(name, fallback) {
      const value = absent(name) ? fallback : raw[name];
      if (typeof value !== 'string') throw fail(name, 'a string');
      return value;
    },
    choice(name, values, fallback) {
      const value = absent(name) ? fallback : raw[name];
      if (!(values as readonly unknown[]).includes(value)) throw fail(name, `one of ${values.join(', ')}`);
      return value as (typeof values)[number];
    },
    object(name) {
      if (absent(name)) return {};
      const value = raw[name];
      if (typeof value !== 'object' || Array.isArray(value)) throw fail(name, 'an object');
      return value as JsonObject;
    },
    integers: (name) => list(name, Number.isSafeInteger, 'a list of whole numbers'),
    numbers: (name) => list(name, Number.isFinite, 'a list of finite numbers'),
    strings: (name) => list(name, (value) => typeof value === 'string', 'a list of strings'),
  };
}

/** An object that a checker of another package judges; its complaint becomes what was expected. */
export function parsedField<T>(fields: Fields, name: string, check: (value: unknown) => T): T {
  const value = fields.raw[name];
  const fail = (expected: string, cause?: unknown): Error =>
    formatError({ file: fields.file, field: fields.path + name, found: show(value), expected, cause });
  if (typeof value !== 'object' || value === null) throw fail('an object with a kind');
  try {
    return check(value);
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
