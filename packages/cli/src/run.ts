/** One way for every command: find it, read its arguments strictly, run it, and turn whatever goes wrong into one line and an exit code. */

import { inspect } from 'node:util';
import { didYouMean, isMsaeError, msaeError } from '@msae/schema';
import type { ArgsDef, CommandDef } from 'citty';
import about from '../package.json' with { type: 'json' };
import { commands } from './commands/index.ts';
import { commandTexts } from './commandTexts.ts';
import { withConfigFile } from './configFile.ts';
import { helpStyle, renderHelp } from './help.ts';
import { completeArguments, parseArguments } from './parseArguments.ts';

const description = 'Matryoshka sparse autoencoders: harvest activations, train, measure, report, convert';

/**
 * Runs `msae` with the words after its name and gives its exit code: 0 done, 1 failed, 2 called wrongly, 130 interrupted.
 * Results go to stdout; errors, one line each, and progress to stderr. Never throws; `MSAE_DEBUG=1` shows stack traces.
 * Signals are the commands' own matter: one that has something to save listens `once`, so that a second Ctrl-C ends it.
 */
export async function run(words: readonly string[]): Promise<number> {
  let name = 'msae';
  try {
    const [first, ...rest] = words;
    if (first === 'help') return await run([...rest, '--help']);
    if (first === undefined || first === '--help' || first === '-h') return printHelp();
    if (first === '--version' || first === '-v') return print(`${about.version}\n`);
    if (first.startsWith('-')) throw msaeError('option', unknown('option', first, ['--help', '--version']));
    const load = Object.hasOwn(commands, first) ? commands[first] : undefined;
    if (load === undefined) throw msaeError('option', unknown('command', first, Object.keys(commands)));
    name = `msae ${first}`;
    const found = await descend(await load(), name, rest);
    name = found.name;
    return await runCommand(found);
  } catch (error) {
    return fail(name, error);
  }
}

/** Reports what went wrong, on stderr. @returns the exit code. */
export function fail(name: string, error: unknown): number {
  const message = (error instanceof Error ? error.message : String(error))
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
    .join('; ');
  const wrongly = isMsaeError(error, 'option');
  const own = message.startsWith(`${name.slice(5)}: `) ? message.slice(name.length - 3) : message;
  process.stderr.write(
    `${name}: ${wrongly ? `${own.replace(/\.$/, '')}; see ${name} --help` : own || 'failed'}\n`,
  );
  if (process.env.MSAE_DEBUG === '1') process.stderr.write(`${inspect(error)}\n`);
  return wrongly ? 2 : 1;
}

interface Found {
  readonly command: CommandDef;
  readonly name: string;
  readonly words: readonly string[];
}

/** Follows the names of commands below commands, as in `msae bench step`. */
async function descend(command: CommandDef, name: string, words: readonly string[]): Promise<Found> {
  const below = await resolved(command.subCommands);
  const [first, ...rest] = words;
  if (below === undefined || first === undefined || first.startsWith('-')) return { command, name, words };
  const next = Object.hasOwn(below, first) ? below[first] : undefined;
  if (next === undefined) {
    throw msaeError('option', unknown('command', first, Object.keys(below)));
  }
  return descend((await resolved(next)) as CommandDef, `${name} ${first}`, rest);
}

async function runCommand({ command, name, words }: Found): Promise<number> {
  const args: ArgsDef = (await resolved(command.args)) ?? {};
  const options = words.includes('--') ? words.slice(0, words.indexOf('--')) : words;
  if (options.some((word) => word === '--help' || word === '-h')) return printHelp({ command, name, args });
  const given = parseArguments(words, args);
  if (command.run === undefined) {
    const below = Object.keys((await resolved(command.subCommands)) ?? {});
    throw msaeError('option', `say what: ${below.join(', ')}`);
  }
  const complete = completeArguments(await withConfigFile(given, args), args);
  process.exitCode = undefined;
  try {
    await command.run({ rawArgs: [...words], args: complete as never, cmd: command });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    const code = fail(name, error);
    return process.exitCode === 130 ? 130 : code;
  }
}

async function printHelp(of?: { command: CommandDef; name: string; args: ArgsDef }): Promise<number> {
  const path = of?.name.slice(5) ?? '';
  const below = of === undefined ? commands : ((await resolved(of.command.subCommands)) ?? {});
  const meta = await resolved(of?.command.meta);
  const summaries = Object.keys(below).map((name) => {
    const text = commandTexts[`${path} ${name}`.trim()];
    return [name, text?.summary ?? ''] as const;
  });
  return print(
    renderHelp(
      {
        name: of?.name ?? 'msae',
        description: meta?.description ?? description,
        args: of?.args ?? { version: { type: 'boolean', description: 'the version' } },
        commands: summaries,
        examples: commandTexts[path]?.examples ?? (of ? [] : ['msae train --help']),
      },
      helpStyle(),
    ),
  );
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

function unknown(what: string, word: string, known: readonly string[]): string {
  return `there is no ${what} ${word}${didYouMean(word.replace(/^-+/, ''), known)}`;
}

/** citty allows values, promises and functions that give them. */
async function resolved<T>(
  given: T | Promise<T> | (() => T | Promise<T>) | undefined,
): Promise<T | undefined> {
  return typeof given === 'function' ? await (given as () => T | Promise<T>)() : given;
}
