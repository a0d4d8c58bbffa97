/**
 * The settings of a schema, one for everything that can be set: its path, the flag that sets it, what it may be. Checks, flags,
 * help and the tables of the documentation all come from here.
 */
import { type Schema, schemaNode } from '@msae/schema';

/** One thing that can be set. */
export interface Setting {
  /** Dotted path in the configuration: `training.auxiliaryLoss.coefficient`. */
  readonly path: string;
  /** `auxiliary-loss-coefficient` */
  readonly flag: string;
  /** What it may be, for people. */
  readonly expects: string;
  readonly help: string;
  readonly default: unknown;
  /** Values that can be listed: what a mistyped one is compared with. */
  readonly values: readonly string[];
  /** Only with these kinds of the variant it belongs to. */
  readonly kinds?: readonly string[];
  /** Its value out of a flag's text; `undefined` where the text stands for no value of this setting. */
  read(text: string): unknown;
}

type AnySchema = Schema<unknown>;

/** Every setting of a schema. `name` gives the flag of a path. */
export function settingsOf(schema: AnySchema, name: (path: string) => string): Setting[] {
  const found = new Map<string, Setting>();
  const add = (setting: Omit<Setting, 'flag'>): void => {
    const known = found.get(setting.path);
    if (known === undefined) found.set(setting.path, { ...setting, flag: name(setting.path) });
    // the same setting of another kind of a variant
    else found.set(setting.path, { ...known, kinds: [...(known.kinds ?? []), ...(setting.kinds ?? [])] });
  };
  walk(schema, { path: '', fallback: undefined }, add);
  return [...found.values()];
}

interface At {
  readonly path: string;
  readonly fallback: unknown;
  readonly kind?: string;
  /** `false` and `null` are values too. */
  readonly off?: false | null;
}

function walk(schema: AnySchema, at: At, add: (setting: Omit<Setting, 'flag'>) => void): void {
  const node = schemaNode(schema);
  const below = (name: string): string => (at.path === '' ? name : `${at.path}.${name}`);
  const kinds = at.kind === undefined ? {} : { kinds: [at.kind] };
  const setting = (
    expects: string,
    help: string | undefined,
    values: readonly string[],
    read: (text: string) => unknown,
    path = at.path,
  ): void =>
    add({
      path,
      expects,
      help: help ?? '',
      default: at.fallback,
      values,
      read: withOff(at.off, read),
      ...kinds,
    });
  switch (node.type) {
    case 'optional':
      walk(node.inner, { ...at, fallback: node.default }, add);
      return;
    case 'nullable':
      walk(node.inner, { ...at, off: null }, add);
      return;
    case 'switchable': {
      const inner = schemaNode(node.inner);
      if (inner.type === 'leaf' && inner.value !== 'other') {
        setting(`${inner.expects}, or off`, inner.help, [], withOff(false, readers[inner.value]));
        return;
      }
      setting('on or off', helpOf(node.inner), ['on', 'off'], (text) => switchOf(text));
      walk(node.inner, { path: at.path, fallback: undefined }, add);
      return;
    }
    case 'leaf':
      if (node.value !== 'other') {
        const values = (node.values ?? []).map(String);
        setting(node.expects, node.help, values, readers[node.value]);
      }
      return;
    case 'list': {
      const item = schemaNode(node.item);
      const scalar = item.type === 'leaf' && item.value !== 'other' ? readers[item.value] : undefined;
      const read = scalar
        ? (text: string) => text.split(',').map((part) => scalar(part.trim()))
        : (text: string) => JSON.parse(text) as unknown;
      setting(scalar ? 'values with commas between' : 'JSON', node.help, [], read);
      return;
    }
    case 'object':
      for (const [entry, inner] of Object.entries(node.entries)) {
        walk(
          inner,
          { path: below(entry), fallback: undefined, ...(at.kind !== undefined && { kind: at.kind }) },
          add,
        );
      }
      return;
    case 'variant': {
      const names = Object.keys(node.options);
      setting(`one of ${names.join(', ')}`, node.help, names, (text) => text, below(node.key));
      for (const [kind, option] of Object.entries(node.options)) {
        const inner = schemaNode(option);
        if (inner.type !== 'object') continue;
        for (const [entry, entrySchema] of Object.entries(inner.entries)) {
          if (entry !== node.key) walk(entrySchema, { path: below(entry), fallback: undefined, kind }, add);
        }
      }
      return;
    }
  }
}

function helpOf(schema: AnySchema): string | undefined {
  const node = schemaNode(schema);
  if (node.type === 'optional') return helpOf(node.inner);
  return 'help' in node ? node.help : undefined;
}

const readers: Readonly<Record<'number' | 'boolean' | 'text' | 'choice', (text: string) => unknown>> = {
  number: (text) => (text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)),
  boolean: (text) =>
    text === 'true' || text === 'on' ? true : text === 'false' || text === 'off' ? false : text,
  text: (text) => text,
  choice: (text) => text,
};

/** `off` turns it off, `on` is its defaults. */
function switchOf(text: string): unknown {
  if (text === 'off' || text === 'false') return false;
  return text === 'on' || text === 'true' ? {} : text;
}

function withOff(off: false | null | undefined, read: (text: string) => unknown): (text: string) => unknown {
  return off === undefined ? read : (text) => (text === 'off' || text === 'none' ? off : read(text));
}

/** `auxiliaryLoss.coefficient` → `auxiliary-loss-coefficient`; a `kind` at the end names the whole. */
export function kebab(path: string): string {
  return path
    .replace(/\.kind$/, '')
    .replaceAll(/(?<=[a-z0-9])[A-Z]/g, (letter) => `-${letter}`)
    .replaceAll(/[._]/g, '-')
    .toLowerCase();
}
