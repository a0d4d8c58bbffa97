import { isFormatError } from '@msae/formats';

/** Runs a command; an error about a file is printed as the one line it is, without a stack, and the exit code is 1. */
export async function reportFormatError(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isFormatError(error)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
