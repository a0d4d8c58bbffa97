/** A mistake in how a command was called: one line that says what was wrong and what was expected; exit code 2. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError';
}
