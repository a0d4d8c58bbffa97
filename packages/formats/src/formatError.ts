/** The one kind of error this package throws about a file: which file, which field, what was found, what was expected. */

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

export interface FormatError extends Error {
  readonly msae: 'format-error';
  readonly file: string;
  readonly field: string;
}

/** Makes (does not throw) an error that reads `file: field: found …, expected …; hint`. */
export function formatError(details: FormatErrorDetails): FormatError {
  const { file, field, found, expected, hint, cause } = details;
  const text = `${file}: ${field}: found ${found}, expected ${expected}${hint ? `; ${hint}` : ''}`;
  const error = new Error(text, cause === undefined ? undefined : { cause });
  return Object.assign(error, { msae: 'format-error', file, field } as const);
}

/** Gives an error of a lower layer (a parser, a file, a server) the tag of this package's errors; others pass. */
export function tagError(error: unknown, file: string, field: string): unknown {
  if (!(error instanceof Error) || isFormatError(error) || error.name === 'AbortError') return error;
  const message = error.message.includes(file) ? error.message : `${file}: ${error.message}`;
  return Object.assign(new Error(message, { cause: error }), { msae: 'format-error', file, field } as const);
}

/** Narrows by a tag, so it also works across two copies of this package. */
export function isFormatError(error: unknown): error is FormatError {
  return error instanceof Error && (error as Partial<FormatError>).msae === 'format-error';
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
