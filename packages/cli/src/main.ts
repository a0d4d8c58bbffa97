#!/usr/bin/env node
/** The `msae` command line: one citty command with lazily loaded subcommands (commands/index.ts). */
import { defineCommand, runMain } from 'citty';
import { commands } from './commands/index.ts';

const main = defineCommand({
  meta: {
    name: 'msae',
    description: 'Matryoshka sparse autoencoders: harvest, train, evaluate, report, convert',
  },
  subCommands: commands,
});

await runMain(main);
