/** How a command ends early: Ctrl-C and SIGTERM, and a reader of standard output that went away. */
import process from 'node:process';

export interface EarlyEnd {
  /** Whether a signal came. */
  readonly interrupted: boolean;
  /** Takes the listeners away. */
  stop(): void;
}

/**
 * Watches while a command runs. A command that listens to SIGINT itself stops in its own way at the first signal (with a
 * checkpoint, or its shard complete); the others, and all at the second signal, end at once with exit code 130. Files are
 * never half-written: they get their name when they are complete.
 */
export function watchEarlyEnd(name: string): EarlyEnd {
  let interrupted = false;
  const interrupt = (signal: NodeJS.Signals): void => {
    const stopsItself = process.listenerCount(signal) > 1;
    if (stopsItself && !interrupted) {
      interrupted = true;
      return;
    }
    process.stderr.write(`${process.stderr.isTTY ? '\n' : ''}${name}: interrupted\n`);
    process.exit(130);
  };
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error;
    if (interrupted) return;
    if (process.listenerCount('SIGINT') > 1) process.emit('SIGINT', 'SIGINT');
    else process.exit(0);
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  process.stdout.on('error', onError);
  return {
    get interrupted() {
      return interrupted;
    },
    stop() {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      process.stdout.off('error', onError);
    },
  };
}
