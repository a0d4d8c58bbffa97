/** Checking a value against a schema with messages that name the option, and reading a schema back as a table. */
import * as v from 'valibot';
import { didYouMean } from './didYouMean.ts';
import { msaeError } from './errors.ts';

/** A schema whose checked value is a T, defaults filled in. */
export type Schema<T> = v.GenericSchema<unknown, T>;

/** `other` has no text: a storage, a callback. */
export type LeafValue = 'number' | 'boolean' | 'text' | 'choice' | 'other';

/** What a schema is made of: for flags, tables, and messages. */
export type SchemaNode =
  | {
      readonly type: 'leaf';
      /** What its text on a command line stands for. */
      readonly value: LeafValue;
      readonly expects: string;
      readonly values?: readonly unknown[];
      readonly help?: string;
    }
  | {
      readonly type: 'object';
      readonly entries: Readonly<Record<string, v.GenericSchema>>;
      readonly help?: string;
    }
  | {
      readonly type: 'variant';
      readonly key: string;
      readonly options: Readonly<Record<string, v.GenericSchema>>;
      readonly help?: string;
    }
  | { readonly type: 'list'; readonly item: v.GenericSchema; readonly help?: string }
  | { readonly type: 'switchable'; readonly inner: v.GenericSchema }
  | { readonly type: 'nullable'; readonly inner: v.GenericSchema }
  | { readonly type: 'optional'; readonly inner: v.GenericSchema; readonly default: unknown };

const nodes = new WeakMap<object, SchemaNode>();

/** The parts of a schema made by this package. */
export function schemaNode(schema: v.GenericSchema): SchemaNode {
  const node = nodes.get(schema);
  if (node === undefined) throw new TypeError('schemaNode: this schema was not made by @msae/schema');
  return node;
}

/** Remembers the parts of a schema. */
export function withNode<T>(schema: v.GenericSchema, node: SchemaNode): Schema<T> {
  nodes.set(schema, node);
  return schema as Schema<T>;
}

/**
 * The checked value, defaults filled in. Unknown keys are refused.
 *
 * @param where what messages start with: `trainer`, `--k`, a file's name
 * @throws MsaeError `option` with a line for each mistake: the option, what was expected, what was given
 */
export function check<T>(schema: Schema<T>, value: unknown, where: string): T {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const found = problems(result.issues);
  const lines = found.map(({ path, says }) => `${where}${path === '' ? '' : `: ${path}`}: ${says}`);
  throw msaeError('option', lines.join('\n'), { where, options: found.map(({ path }) => path) });
}

/** What is wrong, by the option's dotted path. */
export function problems(issues: readonly v.BaseIssue<unknown>[]): { path: string; says: string }[] {
  return issues.map((issue) => {
    const path = v.getDotPath(issue) ?? '';
    const key = String(issue.path?.at(-1)?.key ?? '');
    if (issue.type === 'strict_object' && issue.expected === 'never') {
      const parent = path.slice(0, -key.length).replace(/\.$/, '');
      return { path: parent, says: issue.message };
    }
    if (issue.received === 'undefined' && issue.type !== 'custom') return { path, says: 'is missing' };
    if (issue.type === 'variant') {
      const known = (issue.expected ?? '').replaceAll(/[()"]/g, '').split(' | ');
      const given = typeof issue.input === 'string' ? issue.input : '';
      return {
        path,
        says: `expected one of ${known.join(', ')}, got ${show(issue.input)}${didYouMean(given, known)}`,
      };
    }
    if (issue.type === 'custom') {
      return {
        path,
        says:
          issue.input === undefined
            ? `is missing; expected ${issue.message}`
            : `expected ${issue.message}, got ${show(issue.input)}`,
      };
    }
    const expected =
      issue.expected === 'Object'
        ? 'an object with settings'
        : issue.expected === 'Array'
          ? 'a list'
          : issue.expected;
    return { path, says: `expected ${expected ?? issue.message}, got ${show(issue.input)}` };
  });
}

function show(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return `${value}`;
  if (typeof value === 'function') return 'a function';
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    text = undefined;
  }
  text ??= String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** One option as a row of a table. */
export interface OptionRow {
  /** Dotted path; the settings of a variant carry its kind: `activation[topk].k`. */
  readonly path: string;
  /** What it may be, for people. */
  readonly expects: string;
  readonly required: boolean;
  readonly default: unknown;
  readonly help: string;
}

/** Every option of a schema, depth first, in the order it was written. */
export function optionRows(schema: v.GenericSchema, path = ''): OptionRow[] {
  return rows(schema, path, { required: true, default: undefined });
}

function rows(
  schema: v.GenericSchema,
  path: string,
  given: { required: boolean; default: unknown },
): OptionRow[] {
  const node = schemaNode(schema);
  const row = (expects: string, help = ''): OptionRow => ({ path, expects, ...given, help });
  const under = (name: string): string => (path === '' ? name : `${path}.${name}`);
  switch (node.type) {
    case 'leaf':
      return [row(node.expects, node.help)];
    case 'list': {
      const item = schemaNode(node.item);
      const inner =
        item.type === 'leaf' ? [] : rows(node.item, `${path}[]`, { required: true, default: undefined });
      return [row(item.type === 'leaf' ? `a list, each ${item.expects}` : 'a list', node.help), ...inner];
    }
    case 'object': {
      const entries = Object.entries(node.entries).flatMap(([name, entry]) =>
        rows(entry, under(name), { required: true, default: undefined }),
      );
      return path === '' || node.help === undefined ? entries : [row('settings', node.help), ...entries];
    }
    case 'variant': {
      const own = row(`one of ${Object.keys(node.options).join(', ')}`, node.help);
      const options = Object.entries(node.options).flatMap(([kind, option]) =>
        rows(option, `${path}[${kind}]`, { required: true, default: undefined }).filter(
          (r) => r.path !== `${path}[${kind}].${node.key}`,
        ),
      );
      return [{ ...own, path: under(node.key) }, ...options];
    }
    case 'optional':
      return rows(node.inner, path, { required: false, default: node.default });
    case 'nullable':
      return rows(node.inner, path, given).map((r) =>
        r.path === path ? { ...r, expects: `${r.expects}, or null` } : r,
      );
    case 'switchable': {
      const inner = rows(node.inner, path, { required: false, default: undefined });
      const own = schemaNode(node.inner);
      return [
        row(own.type === 'leaf' ? `${own.expects}, or false` : 'settings, or false'),
        ...inner.filter((r) => r.path !== path),
      ].map((r) =>
        r.path === path ? { ...r, help: inner.find((i) => i.path === path)?.help ?? r.help } : r,
      );
    }
  }
}

/** {@link optionRows} as a Markdown table, for a README whose test compares it. */
export function optionTable(schema: v.GenericSchema): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const usual = ({ required, default: value }: OptionRow): string =>
    required ? 'required' : value === undefined ? '' : `\`${JSON.stringify(value) ?? String(value)}\``;
  const lines = optionRows(schema).map(
    (row) => `| \`${row.path}\` | ${cell(row.expects)} | ${cell(usual(row))} | ${cell(row.help)} |`,
  );
  return ['| option | what | default | |', '|---|---|---|---|', ...lines].join('\n');
}
