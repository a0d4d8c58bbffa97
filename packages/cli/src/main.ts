#!/usr/bin/env node
/**
 * The `msae` command line: one citty command with lazily loaded subcommands (commands/index.ts).
 * Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted.
 */
import { defineCommand, runCommand, runMain } from 'citty';
import about from '../package.json' with { type: 'json' };
import { commands } from './commands/index.ts';
import { checkUsage, UsageError } from './usage.ts';

const main = defineCommand({
  meta: {
    name: 'msae',
    version: about.version,
    description: 'Matryoshka sparse autoencoders: harvest, train, evaluate, report, convert',
  },
  subCommands: commands,
});

const argv = process.argv.slice(2);
try {
  await checkUsage(argv, commands);
  if (argv.length === 0 || argv.some((word) => ['--help', '-h', '--version'].includes(word)))
    await runMain(main);
  else await runCommand(main, { rawArgs: argv });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  const command = error instanceof UsageError || argv[0] === undefined ? '' : ` ${argv[0]}`;
  process.stderr.write(`msae${command}: ${message}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
