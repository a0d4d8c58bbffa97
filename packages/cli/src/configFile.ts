/** Options out of a JSON file: `{"model": "…", "layer": 2, "brown": true}`, the names being those of the flags. */

import { readFile } from 'node:fs/promises';
import { didYouMean, msaeError } from '@msae/schema';
import type { ArgsDef } from 'citty';
import * as v from 'valibot';
import type { GivenArguments } from './parseArguments.ts';

/** Put it among a command's `args` under the name `config`: the command line then takes options from such a file too. */
export const configArgument = {
  type: 'string',
  description: 'JSON file with options under the names of these flags; a flag given here goes over it',
  valueHint: 'file.json',
} as const;

/** `given` over what its `--config` says. @throws MsaeError `option` that names the file and the setting. */
export async function withConfigFile(given: GivenArguments, definitions: ArgsDef): Promise<GivenArguments> {
  const path = given.config;
  if (definitions.config !== configArgument || typeof path !== 'string') return given;
  const settings = settingsOf(await readJson(path), path, definitions);
  return { ...settings, ...given };
}

/** A JSON file. @throws MsaeError `option` where there is none, or no JSON in it. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw msaeError(
      'option',
      `${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`,
      {
        cause,
      },
    );
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw msaeError('option', `${path}: not valid JSON: ${(cause as Error).message}`, { cause });
  }
}

function settingsOf(json: unknown, path: string, definitions: ArgsDef): Record<string, string | boolean> {
  if (Array.isArray(json)) throw msaeError('option', `${path}: expected an object of options, got a list`);
  const entries = Object.entries(definitions).filter(([name]) => name !== 'config');
  const schema = v.strictObject(
    Object.fromEntries(entries.map(([name, of]) => [name, v.optional(schemaOf(of))])),
  );
  const result = v.safeParse(schema, json);
  if (result.success) return result.output as Record<string, string | boolean>;
  const [issue] = result.issues;
  const where = v.getDotPath(issue);
  if (where === null)
    throw msaeError('option', `${path}: expected an object of options, got ${issue.received}`);
  if (issue.expected === 'never') {
    const hint = didYouMean(
      where,
      entries.map(([name]) => name),
    );
    throw msaeError('option', `${path}: there is no option ${where}${hint}`);
  }
  throw msaeError('option', `${path}: ${where}: ${issue.message}`);
}

/** Numbers and lists become the text a flag would have. */
function schemaOf({ type, valueHint }: ArgsDef[string]): v.GenericSchema<unknown, string | boolean> {
  const expected = (what: string) => (issue: { received: string }) =>
    `expected ${what}, got ${issue.received}`;
  if (type === 'boolean') return v.boolean(expected('true or false'));
  const scalar = v.union([v.string(), v.number()], expected('text or a number'));
  if (!valueHint?.endsWith(',…')) return v.pipe(scalar, v.transform(String));
  const either = v.union([scalar, v.array(scalar)], expected('text, a number or a list'));
  return v.pipe(either, v.transform(String));
}
