/** The texts of `--help`. Bold headings on a terminal, plain text elsewhere and under NO_COLOR. */
import type { ArgsDef } from 'citty';

export interface HelpText {
  /** `msae train` */
  readonly name: string;
  readonly description: string;
  readonly args: ArgsDef;
  /** Name and description of each command below this one. */
  readonly commands: readonly (readonly [string, string])[];
  readonly examples: readonly string[];
}

/** How a text is set: bold or not, and the width of a line. */
export interface HelpStyle {
  readonly colour: boolean;
  readonly columns: number;
}

/** The style for standard output. */
export function helpStyle(): HelpStyle {
  const { stdout, env } = process;
  const colour = stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return { colour, columns: Math.min(120, Math.max(60, stdout.columns ?? 100)) };
}

export function renderHelp(text: HelpText, { colour, columns }: HelpStyle): string {
  const bold = (words: string): string => (colour ? `\u001b[1m${words}\u001b[22m` : words);
  const section = (title: string, rows: readonly (readonly [string, string])[]): string[] =>
    rows.length === 0 ? [] : ['', bold(title), ...table(rows, columns)];
  const args = Object.entries(text.args);
  const positional = args.filter(([, { type }]) => type === 'positional');
  const options = args.filter(([, { type }]) => type !== 'positional');
  const rows = options.map(([name, definition]) => [flag(name, definition), describe(definition)] as const);
  const usage = [
    text.name,
    ...(text.commands.length > 0 ? ['<command>'] : []),
    ...positional.map(([name, { required, valueHint }]) => {
      const label = valueHint?.endsWith('…') ? `${name}…` : name;
      return required === false ? `[${label}]` : `<${label}>`;
    }),
    ...options.filter(([, { required }]) => required).map(([name, of]) => flag(name, of)),
    '[options]',
  ];
  return [
    `${bold(text.name)}: ${text.description}`,
    '',
    `${bold('Usage:')} ${usage.join(' ')}`,
    ...section('Commands', text.commands),
    ...section(
      'Arguments',
      positional.map(([name, of]) => [name, describe(of)] as const),
    ),
    ...section('Options', [...rows, ['--help', 'this text']]),
    ...(text.examples.length === 0
      ? []
      : ['', bold('Examples'), ...text.examples.map((line) => `  ${line}`)]),
    '',
  ].join('\n');
}

function flag(name: string, definition: ArgsDef[string]): string {
  if (definition.type === 'boolean') return definition.default === true ? `--[no-]${name}` : `--${name}`;
  return `--${name} <${definition.valueHint ?? name}>`;
}

function describe({ type, description = '', default: preset, required }: ArgsDef[string]): string {
  if (type !== 'boolean' && preset !== undefined) return `${description} (default: ${preset})`.trimStart();
  return type !== 'positional' && required ? `${description} (required)` : description;
}

/** Two columns; the second is wrapped. */
function table(rows: readonly (readonly [string, string])[], columns: number): string[] {
  const width = Math.min(30, Math.max(...rows.map(([label]) => label.length)));
  return rows.flatMap(([label, text]) => {
    const lines = wrap(text, columns - width - 4);
    const first = label.length > width ? [`  ${label}`] : [];
    return [
      ...first,
      ...lines.map((line, at) => `  ${(at === 0 && first.length === 0 ? label : '').padEnd(width)}  ${line}`),
    ];
  });
}

function wrap(text: string, columns: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
