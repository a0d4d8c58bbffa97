/** The strict reading of a command's arguments, after citty's definitions: whatever is not defined there is an error. */

import { parseArgs } from 'node:util';
import { didYouMean, msaeError } from '@msae/schema';
import type { ArgsDef } from 'citty';

/** What was given, by name; positional arguments by name, and all of them in `_`. */
export type GivenArguments = Record<string, string | boolean> & { _: string[] };

/** Whether a positional argument takes several words. */
const takesSeveral = (definition: ArgsDef[string]): boolean => definition.valueHint?.endsWith('…') ?? false;

/** Reads `words`; defaults are not filled in and nothing is required yet. @throws MsaeError `option` for the first mistake. */
export function parseArguments(words: readonly string[], definitions: ArgsDef): GivenArguments {
  const options = Object.fromEntries(
    Object.entries(definitions)
      .filter(([, { type }]) => type !== 'positional')
      .map(([name, { type }]) => [
        name,
        { type: type === 'boolean' ? ('boolean' as const) : ('string' as const) },
      ]),
  );
  const given = { _: [] } as unknown as GivenArguments;
  const { tokens } = parseArgs({
    args: [...words],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === 'positional') given._.push(token.value);
    if (token.kind !== 'option') continue;
    const negated = token.name.startsWith('no-') ? token.name.slice(3) : '';
    if (options[token.name] === undefined && options[negated]?.type === 'boolean') {
      if (token.inlineValue) throw msaeError('option', `${token.rawName} takes no value`);
      given[negated] = false;
      continue;
    }
    const option = options[token.name];
    if (option === undefined) {
      const word = words[token.index]!.split('=')[0]!;
      const known = [...Object.keys(options), 'help'];
      throw msaeError(
        'option',
        `there is no option ${word}${didYouMean(word.replace(/^-+/, ''), known, '--')}`,
      );
    }
    if (option.type === 'boolean') {
      if (token.inlineValue) {
        throw msaeError('option', `--${token.name} takes no value; --no-${token.name} turns it off`);
      }
      given[token.name] = true;
      continue;
    }
    const { value } = token;
    if (value === undefined || value === '') throw msaeError('option', `--${token.name} needs a value`);
    if (!token.inlineValue && value.startsWith('--')) {
      throw msaeError('option', `--${token.name} needs a value, but ${value} follows`);
    }
    given[token.name] = value;
  }
  namePositionals(given, definitions);
  return given;
}

function namePositionals(given: GivenArguments, definitions: ArgsDef): void {
  const names = Object.entries(definitions).filter(([, { type }]) => type === 'positional');
  given._.forEach((word, at) => {
    const [name] = names[at] ?? [];
    if (name !== undefined) given[name] = word;
    else if (names.length === 0 || !takesSeveral(names.at(-1)![1])) {
      throw msaeError('option', `'${word}' is one argument too many`);
    }
  });
}

/** With defaults, and nothing missing. @throws MsaeError `option` for what is. */
export function completeArguments(given: GivenArguments, definitions: ArgsDef): GivenArguments {
  const complete = { ...given };
  for (const [name, definition] of Object.entries(definitions)) {
    const { type, required, default: preset, description } = definition;
    if (complete[name] === undefined && preset !== undefined) complete[name] = preset;
    const needed = type === 'positional' ? required !== false : required === true;
    if (complete[name] === undefined && needed) {
      const label = type === 'positional' ? `<${name}>` : `--${name}`;
      throw msaeError('option', `${label} is missing${description ? `: ${description}` : ''}`);
    }
    const value = complete[name];
    if (type === 'enum' && typeof value === 'string' && !definition.options?.includes(value)) {
      throw msaeError(
        'option',
        `--${name}: expected one of ${definition.options?.join(', ')}; got '${value}'`,
      );
    }
  }
  return complete;
}
