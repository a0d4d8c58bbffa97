/** What happens when the reader of standard output goes away, as in `msae … | head`: the command stops as at Ctrl-C, without a word. */
export function stopOnBrokenPipe(): void {
  let broken = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (broken) return;
    broken = true;
    if (process.listenerCount('SIGINT') > 0) process.emit('SIGINT', 'SIGINT');
    else process.exit(0);
  });
  process.stderr.on('error', () => undefined);
}
