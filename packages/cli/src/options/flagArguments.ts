/** Settings as citty's definitions of flags, for `--help` and for reading the command line. */
import type { ArgsDef } from 'citty';
import type { Setting } from './settings.ts';

/** One definition a setting: a switch where it is true or false, else a flag with text, which the setting itself reads. */
export function flagArguments(settings: readonly Setting[]): ArgsDef {
  return Object.fromEntries(
    settings.map((setting) => [
      setting.flag,
      isSwitch(setting)
        ? { type: 'boolean' as const, description: setting.help }
        : { type: 'string' as const, description: describe(setting), valueHint: hintOf(setting) },
    ]),
  );
}

function isSwitch({ values, help }: Setting): boolean {
  return help !== '' && values.length === 2 && values[0] === 'true' && values[1] === 'false';
}

function describe({ help, expects, kinds, default: preset, values }: Setting): string {
  const may = values.length > 0 && values.length <= 8 ? values.join(', ') : expects;
  const only = kinds === undefined ? '' : ` (${kinds.join(', ')})`;
  const standard = preset === undefined || typeof preset === 'object' ? '' : `; default ${String(preset)}`;
  return `${help === '' ? may : values.length > 0 ? `${help}: ${may}` : help}${only}${standard}`;
}

function hintOf({ expects, values }: Setting): string {
  if (values.length > 0) return 'name';
  if (expects.startsWith('a whole number')) return 'n';
  if (expects.includes('number')) return 'x';
  return expects === 'JSON' ? 'json' : expects.startsWith('values') ? 'x,…' : 'text';
}
