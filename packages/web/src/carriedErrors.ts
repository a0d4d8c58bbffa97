/** Errors of the family over a worker link: what is copied between threads loses an error's class, code and details. */
import { isMsaeError, type MsaeError, msaeError } from '@msae/schema';

const KEY = '@msae/error';

interface CarriedError {
  readonly [KEY]: MsaeError['code'];
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: MsaeError['details'];
}

/** What a method may throw to the other side in place of `error`; another kind of error as it is. */
export function packError(error: unknown): unknown {
  if (!isMsaeError(error)) return error;
  const { code, message, stack, details } = error;
  return { [KEY]: code, message, stack, details: copied(details) } satisfies CarriedError;
}

/** The error that {@link packError} was given, as far as it can be copied; anything else as it is. */
export function unpackError(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null || !(KEY in thrown)) return thrown;
  const { [KEY]: code, message, stack, details } = thrown as CarriedError;
  const error = msaeError(code, message, details);
  if (stack !== undefined) error.stack = stack;
  return error;
}

function copied(details: MsaeError['details']): MsaeError['details'] {
  try {
    return structuredClone(details);
  } catch {
    return {};
  }
}
