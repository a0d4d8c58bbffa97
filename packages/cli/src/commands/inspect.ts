/** `msae inspect PATH`: what an SAE is, in any format, without loading it. */
import { inspectSae, type SaeInspection } from '@msae/formats';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';

const definition: CommandDef = command({
  meta: {
    name: 'inspect',
    description:
      'Show the format, shapes, activation, prefixes, norms and pitfalls of an SAE of any known format',
  },
  args: {
    path: {
      type: 'positional',
      required: true,
      description: 'A folder or file, an http(s) address, or hf://owner/name/folder',
    },
    json: { type: 'boolean', default: false, description: 'Print JSON' },
    norms: {
      type: 'boolean',
      default: true,
      description: 'Read the matrices for their norms (--no-norms: do not)',
    },
  },
  async run({ args }) {
    const report = await inspectSae(String(args.path), { norms: Boolean(args.norms) });
    console.log(args.json ? JSON.stringify(report, null, 2) : text(report));
  },
});

export default definition;

function text(report: SaeInspection): string {
  const { activation, input, output, prefixes, training, norms } = report;
  const lines: [string, string][] = [
    ['format', report.format],
    ['architecture', report.architecture],
    ['file', report.file],
    ['d_model × latents', `${input.width} × ${report.nLatents}, ${report.parameters} parameters`],
    ...optional('writes', output ? `another site, ${output.width} wide` : undefined),
    ['activation here', activation.kind + ('k' in activation ? `, k = ${activation.k}` : '')],
    ...optional('threshold', report.threshold === null ? undefined : spreadText(report.threshold)),
    ['encoder sees', report.applyBDecToInput ? 'x − b_dec' : 'x'],
    [
      'before the weights',
      [...(input.layout === 'heads' ? ['heads side by side'] : []), ...report.transform.map(step)].join(
        ', ',
      ) || 'nothing',
    ],
    ...optional('folded on loading', report.scaleByDecoderNorm ? 'decoder norms' : undefined),
    ...optional(
      'prefixes',
      prefixes ? `${list(prefixes.lengths)}; weights ${list(prefixes.weights)}` : undefined,
    ),
    ...optional('trained as', training?.architecture),
    ...optional('decoder row norms', norms ? spreadText(norms.decoder) : undefined),
    ...optional('encoder column norms', norms ? spreadText(norms.encoder) : undefined),
    ...report.tensors.map((tensor): [string, string] => [
      `  ${tensor.role}`,
      `${tensor.name} ${tensor.dtype} [${tensor.shape.join(', ')}]${tensor.transposed ? ', transposed' : ''}`,
    ]),
  ];
  const width = Math.max(...lines.map(([label]) => label.length));
  const body = lines.map(([label, value]) => `${label.padEnd(width)}  ${value}`);
  return [...body, ...report.warnings.map((warning) => `warning: ${warning}`)].join('\n');
}

/** A step and its small numbers: `scale (factor 0.12)`. */
function step({ kind, ...fields }: { readonly kind: string }): string {
  const shown = Object.entries(fields as Record<string, unknown>).flatMap(([name, value]) =>
    typeof value === 'number' ? [`${name} ${number(value)}`] : [],
  );
  return shown.length > 0 ? `${kind} (${shown.join(', ')})` : kind;
}

const optional = (label: string, value: string | undefined): [string, string][] =>
  value ? [[label, value]] : [];

const list = (values: readonly number[]): string =>
  values.length > 12
    ? `${values.slice(0, 10).map(number).join(' ')} … (${values.length})`
    : values.map(number).join(' ');

const number = (value: number): string => String(Number(value.toPrecision(4)));

type Spread = NonNullable<SaeInspection['norms']>['decoder'];

const spreadText = (value: number | Spread): string =>
  typeof value === 'number'
    ? number(value)
    : `${number(value.min)} to ${number(value.max)}, mean ${number(value.mean)}`;
