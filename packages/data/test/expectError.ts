import { isMsaeError } from '@msae/schema';
import { expect } from 'vitest';

/** The error of a call that must fail: one error of the family (or an abort), one line. */
export async function errorOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    const { message } = error as Error;
    // thrown on purpose, not a TypeError or RangeError that slipped through
    expect(isMsaeError(error) || error instanceof DOMException, message).toBe(true);
    expect(message).not.toMatch(/\n|undefined|\[object/);
    return error as Error;
  }
  throw new Error('expected an error, but the call succeeded');
}
