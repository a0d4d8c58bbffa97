/** Numbers and texts out of config.json or metadata, with errors that name the field. */
import { msaeError } from '@msae/schema';

export interface Fields {
  readonly name: string;
  /** undefined where there is none, or it is null. */
  get(field: string): unknown;
  has(field: string): boolean;
  /** @throws MsaeError `file` when it is missing (without a fallback) or no number within bounds */
  number(field: string, fallback?: number): number;
  whole(field: string, fallback?: number): number;
  text(field: string, fallback?: string): string;
  flag(field: string, fallback: boolean): boolean;
}

/** Counts and widths beyond this are no model's. */
const most = 2 ** 26;

/** @param prefix what stands before a field's name in the file, for messages */
export function fieldsOf(name: string, read: (field: string) => unknown, prefix = ''): Fields {
  const get = (field: string): unknown => read(field) ?? undefined;
  const fail = (field: string, expected: string, value: unknown): Error =>
    msaeError(
      'file',
      value === undefined
        ? `${name}: ${prefix}${field} is missing; expected ${expected}`
        : `${name}: ${prefix}${field}: expected ${expected}, got ${JSON.stringify(value)?.slice(0, 80)}`,
      { file: name, field: prefix + field },
    );
  return {
    name,
    get,
    has: (field) => get(field) !== undefined,
    number(field, fallback) {
      const value = get(field) ?? fallback;
      if (typeof value !== 'number' || !Number.isFinite(value)) throw fail(field, 'a number', value);
      return value;
    },
    whole(field, fallback) {
      const value = get(field) ?? fallback;
      if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > most) {
        throw fail(field, `a whole number from 1 to ${most}`, value);
      }
      return value as number;
    },
    text(field, fallback) {
      const value = get(field) ?? fallback;
      if (typeof value !== 'string') throw fail(field, 'a text', value);
      return value;
    },
    flag(field, fallback) {
      const value = get(field) ?? fallback;
      if (typeof value !== 'boolean') throw fail(field, 'true or false', value);
      return value;
    },
  };
}
