/** Schemas that several option objects of this package share. */
import { givenBy, object, optional, type Schema, text } from '@msae/schema';
import type { ReadOptions } from './byteSource.ts';

export const signalSchema: Schema<AbortSignal> = givenBy(
  'an AbortSignal',
  (value) => value instanceof AbortSignal,
  { help: 'ends the work' },
);

export const fetchSchema: Schema<typeof fetch> = givenBy(
  'a function like fetch',
  (value) => typeof value === 'function',
  { help: 'instead of the global fetch' },
);

/** Options of everything that opens bytes. */
export interface OpenOptions extends ReadOptions {
  /** What error messages call bytes that have no name of their own. */
  name?: string;
}

export const openOptionsSchema: Schema<OpenOptions> = object<OpenOptions>({
  name: optional(text({ help: 'what messages call it' })),
  signal: optional(signalSchema),
});
