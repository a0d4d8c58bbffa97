/** What this package says about a file: which file, which field, what was found, what was expected. */
import { isMsaeError, type MsaeError, msaeError } from '@msae/schema';

export interface FormatErrorDetails {
  /** Path, URL or file name. */
  file: string;
  /** The field, tensor or place in the file. */
  field: string;
  found: string;
  expected: string;
  /** What to do about it. */
  hint?: string;
  cause?: unknown;
}

/** Makes (does not throw) a `file` error that reads `file: field: found …, expected …; hint`. */
export function formatError({ file, field, found, expected, hint, cause }: FormatErrorDetails): MsaeError {
  const text = `${file}: ${field}: found ${found}, expected ${expected}${hint ? `; ${hint}` : ''}`;
  return msaeError('file', text, { file, field, ...(cause !== undefined && { cause }) });
}

/** What a format cannot hold: `subject` is the format, e.g. `sparsify export`. */
export function cannotHold(subject: string, field: string, found: string, expected: string): MsaeError {
  const text = `${subject}: ${field}: found ${found}, expected ${expected}`;
  return msaeError('unsupported', text, { field });
}

/** Gives an error of a lower layer (a parser, a file, a server) the file's name and code; mistaken options and aborts pass. */
export function tagError(error: unknown, file: string, field: string): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError' || isMsaeError(error, 'option')) return error;
  if (isMsaeError(error, 'file') && error.message.includes(file)) return error;
  const message = error.message.includes(file) ? error.message : `${file}: ${error.message}`;
  return msaeError('file', message, { file, field, cause: error });
}

/** A value out of a file as it appears in a message: JSON, cut short. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  let text: string;
  try {
    text = JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item)) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 100 ? `${text.slice(0, 97)}…` : text;
}

/** `[3, 4]` */
export const showShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
