/** Usage mistakes are found before a command starts: an unknown command or flag, a value or an argument that is missing. Exit code 2. */
import type { ArgsDef, CommandDef } from 'citty';

/** A mistake in how `msae` was called. */
export class UsageError extends Error {}

/** Throws a UsageError for the first mistake in `argv` (without node and script); says nothing about values. */
export async function checkUsage(
  argv: readonly string[],
  commands: Readonly<Record<string, () => Promise<CommandDef>>>,
): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === '--version') return;
  const load = commands[name];
  if (name.startsWith('-') || load === undefined) {
    const hint = nearest(name.replace(/^-+/, ''), Object.keys(commands));
    throw new UsageError(`there is no command ${name}; did you mean ${hint}? msae --help lists them`);
  }
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h') || command.subCommands !== undefined) return;
  const args = ((await (typeof command.args === 'function' ? command.args() : command.args)) ??
    {}) as ArgsDef;
  let positionals = 0;
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!;
    if (word === '--') {
      positionals += rest.length - at - 1;
      break;
    }
    if (!/^-+[^\d.-]/.test(word)) {
      positionals += 1;
      continue;
    }
    const [flag = '', value] = split(word);
    const known = definition(args, flag);
    if (known === undefined) {
      const flags = Object.keys(args).filter((arg) => args[arg]?.type !== 'positional');
      throw new UsageError(
        `${name}: there is no option ${word.split('=')[0]}; did you mean --${nearest(flag, flags)}? msae ${name} --help lists them`,
      );
    }
    if (known.type === 'boolean' || value !== undefined) continue;
    if (rest[at + 1] === undefined)
      throw new UsageError(`${name}: ${word} needs a value; msae ${name} --help shows which`);
    at += 1;
  }
  const required = Object.entries(args).filter(
    ([, arg]) => arg.type === 'positional' && arg.required !== false,
  );
  const missing = required[positionals];
  if (missing) {
    throw new UsageError(
      `${name}: ${missing[0].toUpperCase()} is missing (${missing[1].description ?? 'an argument'}); msae ${name} --help shows how`,
    );
  }
  for (const [arg, { type, required: needed }] of Object.entries(args)) {
    const given = rest.some((word) => /^-/.test(word) && kebab(split(word)[0] ?? '') === kebab(arg));
    if (type !== 'positional' && needed === true && !given) {
      throw new UsageError(`${name}: --${kebab(arg)} is missing; msae ${name} --help shows how`);
    }
  }
}

function split(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  const flag = (at < 0 ? word : word.slice(0, at)).replace(/^-+/, '');
  return [flag, at < 0 ? undefined : word.slice(at + 1)];
}

/** citty takes --camelCase and --kebab-case for the same, and --no-flag for booleans. */
function definition(args: ArgsDef, flag: string): ArgsDef[string] | undefined {
  for (const [name, arg] of Object.entries(args)) {
    if (arg.type === 'positional') continue;
    const names = [name, ...[('alias' in arg && arg.alias) || []].flat()].map(kebab);
    if (names.includes(kebab(flag))) return arg;
    if (arg.type === 'boolean' && names.includes(kebab(flag).replace(/^no-/, ''))) return arg;
  }
  return undefined;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
}

/** The name with the smallest edit distance. */
function nearest(wanted: string, names: readonly string[]): string {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
      }
      row = next;
    }
    return row[b.length]!;
  };
  return [...names].sort((a, b) => distance(wanted, a) - distance(wanted, b))[0] ?? '';
}
