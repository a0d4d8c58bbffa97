#!/usr/bin/env node
/** The `msae` program: run.ts with the words of the command line. */
import { stopOnBrokenPipe } from './brokenPipe.ts';
import { fail, run } from './run.ts';

stopOnBrokenPipe();
process.on('uncaughtException', (error) => {
  process.exit(fail('msae', error));
});
process.exitCode = await run(process.argv.slice(2));
setTimeout(() => process.exit(), 3000).unref(); // threads of a command that failed may still be there
