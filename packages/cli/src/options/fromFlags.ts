/** Flags as a configuration, and mistakes in a configuration in the words of the flags that made it. */
import { check, didYouMean, isMsaeError, msaeError, type Schema } from '@msae/schema';
import type { Setting } from './settings.ts';

export type Json = Record<string, unknown>;

/** The flags' text by name; those that were not given are absent. */
export type FlagTexts = Readonly<Record<string, string | boolean | undefined>>;

/** What the flags say, nested by path. @throws MsaeError `option` for JSON that is none */
export function configurationOf(settings: readonly Setting[], flags: FlagTexts): Json {
  const out: Json = {};
  // shorter paths first: `--auxiliary-loss on` before what is inside of it
  for (const setting of [...settings].sort((a, b) => a.path.length - b.path.length)) {
    const text = flags[setting.flag];
    if (text === undefined) continue;
    if (typeof text === 'boolean') {
      put(out, setting.path.split('.'), text);
      continue;
    }
    let value: unknown;
    try {
      value = setting.read(text);
    } catch {
      throw msaeError('option', `--${setting.flag}: expected ${setting.expects}, got '${text}'`);
    }
    put(out, setting.path.split('.'), value);
  }
  return out;
}

function put(into: Json, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    into[name] = value;
    return;
  }
  if (!isObject(into[name])) into[name] = {};
  put(into[name] as Json, rest, value);
}

/** `over` on top of `base`: objects are merged, except that another `kind` replaces the whole. */
export function mergeSettings(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over === undefined ? base : over;
  if ('kind' in over && over.kind !== base.kind) return over;
  const merged: Json = { ...base };
  for (const [name, value] of Object.entries(over)) merged[name] = mergeSettings(base[name], value);
  return merged;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Checks a configuration. What a flag said is complained about in the flag's name, the rest in the file's.
 *
 * @param file the file the rest comes from; undefined where there is none
 * @throws MsaeError `option` with a line for each mistake
 */
export function checkConfiguration<T>(
  schema: Schema<T>,
  json: unknown,
  { settings, flags, file }: { settings: readonly Setting[]; flags: FlagTexts; file?: string | undefined },
): T {
  try {
    return check(schema, json, '');
  } catch (error) {
    if (!isMsaeError(error, 'option')) throw error;
    const paths = error.details.options as readonly string[];
    const lines = error.message.split('\n').map((line, i) => {
      const path = paths[i] ?? '';
      const says = line.replace(/^: /, '').slice(path === '' ? 0 : path.length + 2);
      return inWords(path, says, settings, flags, file);
    });
    throw msaeError('option', lines.join('\n'), { options: paths });
  }
}

function inWords(
  path: string,
  says: string,
  settings: readonly Setting[],
  flags: FlagTexts,
  file: string | undefined,
): string {
  const setting = settings.find((one) => one.path === path);
  const text = setting && flags[setting.flag];
  if (setting !== undefined && typeof text === 'string') {
    const hint = setting.values.length > 0 ? didYouMean(text, setting.values) : '';
    return `--${setting.flag}: expected ${setting.expects}, got '${text}'${setting.values.includes(text) ? '' : hint}`;
  }
  // an option that this kind does not have: `--k` with relu
  const unknown = /^there is no option (\S+?)(?: \(|;|$)/.exec(says)?.[1];
  const misplaced = settings.find(
    (one) => one.path === `${path}.${unknown}` && typeof flags[one.flag] === 'string',
  );
  if (misplaced !== undefined) {
    const kind = settings.find((one) => one.path === `${path}.kind`);
    const given = kind && flags[kind.flag];
    return `--${misplaced.flag}: goes with --${kind?.flag ?? kebabOf(path)} ${misplaced.kinds?.join(', ') ?? ''}${typeof given === 'string' ? `, not with ${given}` : ''}`;
  }
  if (setting !== undefined && file === undefined) return `--${setting.flag}: ${says}`;
  return `${file ?? 'flags'}: ${path === '' ? '' : `${path}: `}${says}`;
}

const kebabOf = (path: string): string => path.split('.').at(-1) ?? path;
