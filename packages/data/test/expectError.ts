import { expect } from 'vitest';

/** The error of a call that must fail: one Error, one line, and not one of JavaScript's own. */
export async function errorOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    const { message } = error as Error;
    expect([Error, DOMException]).toContain((error as Error).constructor); // not a TypeError or RangeError that slipped through
    expect(message).not.toMatch(/\n|undefined|\[object/);
    return error as Error;
  }
  throw new Error('expected an error, but the call succeeded');
}
