/**
 * One tag for every error that a package of the family throws on purpose, with a code for its kind. The tag is a property
 * under a registered symbol, so it survives two copies of a package; the class stays RangeError, TypeError or Error.
 */

/**
 * - `option`: an option, flag or setting that cannot be
 * - `shape`: a tensor, array or batch of the wrong shape, width or type
 * - `value`: numbers that cannot be (NaN, an empty stream, a loss that diverged)
 * - `file`: a file, folder or address that is not what it has to be
 * - `unsupported`: a right thing that this release, format or backend cannot do
 * - `missing`: something that has to be installed, trained or set first
 * - `device`: a backend or device that is not there, is lost or is full
 * - `state`: a call at the wrong time (a disposed SAE, a storage that holds another run)
 */
export type ErrorCode =
  | 'option'
  | 'shape'
  | 'value'
  | 'file'
  | 'unsupported'
  | 'missing'
  | 'device'
  | 'state';

/** What an error says besides its message; free, small and plain. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface MsaeError extends Error {
  readonly code: ErrorCode;
  /** The file, field, option or tensor at fault, where there is one. */
  readonly details: ErrorDetails;
}

const TAG: unique symbol = Symbol.for('@msae/error') as never;

type ErrorClass = new (message: string, options?: ErrorOptions) => Error;

const classes: Readonly<Record<ErrorCode, ErrorClass>> = {
  option: RangeError,
  shape: RangeError,
  value: RangeError,
  file: Error,
  unsupported: Error,
  missing: Error,
  device: Error,
  state: Error,
};

/** Makes (does not throw) an error of the family. `option`, `shape` and `value` are RangeErrors. */
export function msaeError(
  code: ErrorCode,
  message: string,
  { cause, ...details }: { readonly cause?: unknown } & ErrorDetails = {},
): MsaeError {
  const error = new classes[code](message, cause === undefined ? undefined : { cause });
  Object.defineProperty(error, TAG, { value: true });
  return Object.assign(error, { code, details });
}

/** Is it an error of the family, and (where asked) of this code? */
export function isMsaeError(error: unknown, code?: ErrorCode): error is MsaeError {
  if (!(error instanceof Error) || !(TAG in error)) return false;
  return code === undefined || (error as Error & { code?: unknown }).code === code;
}
