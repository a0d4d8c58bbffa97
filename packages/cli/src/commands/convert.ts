/** `msae convert IN OUT --to FORMAT`: an SAE of any known format into another. */
import { loadSae, saveSae, type WeightDtype, type WritableFormat, writableFormats } from '@msae/formats';
import { useNode } from '@msae/node';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { numberAbove, oneOf } from '../flagValues.ts';
import { forceArgument, refuseExisting, refuseSame } from '../outputs.ts';

const dtypes = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
} as const satisfies Readonly<Record<string, WeightDtype>>;
const dtypeNames = Object.keys(dtypes) as (keyof typeof dtypes)[];

const definition: CommandDef = command({
  meta: { name: 'convert', description: 'Convert an SAE of any known format into another' },
  args: {
    in: {
      type: 'positional',
      required: true,
      description: 'A folder or file, an http(s) address, or hf://owner/name/folder',
    },
    out: { type: 'positional', required: true, description: 'The folder to write' },
    to: { type: 'string', required: true, description: writableFormats.join(', ') },
    dtype: { type: 'string', default: 'float32', description: dtypeNames.join(', ') },
    'input-scale': {
      type: 'string',
      description:
        'The factor on the activations in training, where the file says there was one but not which',
    },
    'fold-decoder-norm': {
      type: 'boolean',
      default: true,
      description: 'saelens: make decoder rows unit vectors (--no-fold-decoder-norm: keep them)',
    },
    force: forceArgument,
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
  },
  async run({ args }) {
    const format = oneOf('to', args.to, writableFormats);
    const dtype = dtypes[oneOf('dtype', args.dtype, dtypeNames)];
    const scale =
      args['input-scale'] === undefined ? undefined : numberAbove('input-scale', args['input-scale'], 0);
    await refuseSame(args.in, args.out);
    await refuseExisting(args.out, 'out', args.force);
    const result = await run(args.in, args.out, format, dtype, scale, args['fold-decoder-norm']);
    const { from, architecture, dModel, nLatents, activation, to, out } = result;
    console.log(
      args.json
        ? JSON.stringify(result)
        : `${from} ${architecture}, ${dModel} × ${nLatents} (${activation}) → ${to} in ${out}`,
    );
  },
});

export default definition;

interface Converted {
  readonly from: string;
  readonly architecture: string;
  readonly dModel: number;
  readonly nLatents: number;
  readonly activation: string;
  readonly to: WritableFormat;
  readonly dtype: WeightDtype;
  readonly out: string;
  readonly warnings: readonly string[];
}

async function run(
  input: string,
  output: string,
  format: WritableFormat,
  dtype: WeightDtype,
  inputScale: number | undefined,
  foldDecoderNorm: boolean,
): Promise<Converted> {
  // weights only pass through: the plain cpu backend keeps them as they are
  await useNode({ backend: 'cpu' });
  const sae = await loadSae(input, inputScale === undefined ? {} : { inputScale });
  const { warnings, source } = sae.record;
  for (const warning of warnings) console.error(`warning: ${warning}`);
  await saveSae(sae, output, { format, dtype, foldDecoderNorm });
  const { input: site, nLatents, activation } = sae.config;
  sae.dispose();
  return {
    from: source?.format ?? 'unknown',
    architecture: source?.architecture ?? activation.kind,
    dModel: site.width,
    nLatents,
    activation: activation.kind,
    to: format,
    dtype,
    out: output,
    warnings,
  };
}
