/** `msae convert IN OUT --to FORMAT`: an SAE of any known format into another. */
import { loadSae, saveSae, type WeightDtype, type WritableFormat, writableFormats } from '@msae/formats';
import { useNode } from '@msae/node';
import { type CommandDef, defineCommand } from 'citty';
import { reportFormatError } from './formatErrors.ts';

const dtypes: Readonly<Record<string, WeightDtype>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
};

const command = defineCommand({
  meta: { name: 'convert', description: 'Convert an SAE of any known format into another' },
  args: {
    in: {
      type: 'positional',
      required: true,
      description: 'A folder or file, an http(s) address, or hf://owner/name/folder',
    },
    out: { type: 'positional', required: true, description: 'The folder to write' },
    to: { type: 'string', required: true, description: writableFormats.join(', ') },
    dtype: { type: 'string', default: 'float32', description: Object.keys(dtypes).join(', ') },
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
  },
  async run({ args }) {
    const format = writableFormats.find((name) => name === args.to);
    const dtype = dtypes[String(args.dtype)];
    if (!format) return usage(`--to ${args.to}: expected one of ${writableFormats.join(', ')}`);
    if (!dtype) return usage(`--dtype ${args.dtype}: expected one of ${Object.keys(dtypes).join(', ')}`);
    const scale = args['input-scale'] === undefined ? undefined : Number(args['input-scale']);
    if (scale !== undefined && !(scale > 0))
      return usage(`--input-scale ${args['input-scale']}: expected a number > 0`);
    await reportFormatError(() =>
      run(String(args.in), String(args.out), format, dtype, scale, Boolean(args['fold-decoder-norm'])),
    );
  },
});

export default command as unknown as CommandDef;

async function run(
  input: string,
  output: string,
  format: WritableFormat,
  dtype: WeightDtype,
  inputScale: number | undefined,
  foldDecoderNorm: boolean,
): Promise<void> {
  // weights only pass through: the plain cpu backend keeps them as they are
  await useNode({ backend: 'cpu' });
  const loaded = await loadSae(input, inputScale === undefined ? {} : { inputScale });
  for (const warning of loaded.warnings) console.error(`warning: ${warning}`);
  await saveSae(loaded, output, { format, dtype, foldDecoderNorm });
  const { dModel, nLatents, activation } = loaded.sae.config;
  console.log(
    `${loaded.format} ${loaded.architecture}, ${dModel} × ${nLatents} (${activation.kind}) → ${format} in ${output}`,
  );
  loaded.dispose();
}

function usage(message: string): void {
  console.error(message);
  process.exitCode = 1;
}
