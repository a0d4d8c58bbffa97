/**
 * SAELens for inference (checked with 6.54.12, `SAE.load_from_disk`): standard, topk, jumprelu, and their transcoders.
 * batchtopk becomes jumprelu, as SAELens itself does; decoder norms are folded except for topk, whose choice of
 * latents they would change.
 */
import { formatError } from '../formatError.ts';
import { type Exportable, foldForExport, values } from './exportable.ts';
import { ownRecordOf } from './ownRecordOf.ts';
import { jsonFile, lazyTensor, type SaeFile, safetensorsFile, type WeightDtype } from './saeFile.ts';

/** The release whose files these are. */
const saeLensVersion = '6.54.12';

const dtypeNames: Readonly<Record<WeightDtype, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

export interface SaelensOptions {
  /** Make decoder rows unit vectors where the architecture allows it. Default true. */
  foldDecoderNorm?: boolean;
}

export async function saelensFiles(
  source: Exportable,
  dtype: WeightDtype,
  options: SaelensOptions = {},
): Promise<SaeFile[]> {
  const { config, skip, preprocessing } = source;
  const { dModel: d, nLatents: n, activation } = config;
  const architecture = architectureOf(source);
  const decoderNorm = (options.foldDecoderNorm ?? true) && activation.kind !== 'topk';
  const transcoder = architecture.endsWith('transcoder');
  const applyBDecToInput = config.applyBDecToInput && !transcoder;
  const folded = await foldForExport(source, { decoderNorm, applyBDecToInput });
  const tensors = [
    lazyTensor('W_enc', [d, n], dtype, folded.W_enc),
    lazyTensor('b_enc', [n], dtype, folded.b_enc),
    lazyTensor('W_dec', [n, d], dtype, folded.W_dec),
    lazyTensor('b_dec', [d], dtype, folded.b_dec),
  ];
  if (architecture.startsWith('jumprelu'))
    tensors.push(lazyTensor('threshold', [n], dtype, folded.threshold));
  if (skip) tensors.push(lazyTensor('W_skip', [d, d], dtype, async () => transposed(await values(skip), d)));
  const cfg = {
    architecture,
    d_in: d,
    d_sae: n,
    ...(transcoder ? { d_out: d } : {}),
    dtype: dtypeNames[dtype],
    device: 'cpu',
    apply_b_dec_to_input: applyBDecToInput,
    normalize_activations: preprocessing.normalize,
    reshape_activations: preprocessing.reshape,
    ...(activation.kind === 'topk' ? { k: activation.k, rescale_acts_by_decoder_norm: false } : {}),
    metadata: metadataOf(source, decoderNorm),
  };
  return [safetensorsFile('sae_weights.safetensors', tensors), jsonFile('cfg.json', cfg)];
}

function architectureOf(source: Exportable): string {
  const { activation } = source.config;
  const base = {
    identity: undefined,
    relu: 'standard',
    topk: 'topk',
    batchtopk: 'jumprelu',
    jumprelu: 'jumprelu',
  };
  const architecture = base[activation.kind];
  const fail = (found: string, expected: string): Error =>
    formatError({ file: 'saelens export', field: 'activation', found, expected });
  if (!architecture) throw fail(activation.kind, 'relu, topk, batchtopk or jumprelu');
  if (activation.kind === 'batchtopk' && source.sae.inferenceThreshold === null) {
    throw fail(
      'batchtopk without an inference threshold',
      'one that training has set (sae.inferenceThreshold)',
    );
  }
  if (!source.skip && !source.transcoder) return architecture;
  if (architecture === 'topk') throw fail('a topk transcoder', 'a transcoder with relu or jumprelu');
  const prefix = architecture === 'jumprelu' ? 'jumprelu_' : '';
  return `${prefix}${source.skip ? 'skip_' : ''}transcoder`;
}

/** SAELens keeps unknown metadata; its own keys for the training architecture are filled in too. */
function metadataOf(source: Exportable, decoderNorm: boolean): Record<string, unknown> {
  const { config, prefixes, training } = source;
  const { activation } = config;
  const k = 'k' in activation ? { k: activation.k } : {};
  const matryoshka = prefixes && prefixes.lengths.length > 1;
  const base = activation.kind === 'relu' ? 'standard' : activation.kind;
  const architecture = matryoshka ? `matryoshka_${base}` : base;
  const { msae: _, ...metadata } = source.metadata;
  return {
    ...metadata,
    sae_lens_version: saeLensVersion,
    sae_lens_training_version: null,
    training_architecture: training?.architecture ?? architecture,
    training_architecture_details: {
      ...training?.details,
      ...k,
      ...(matryoshka ? { matryoshka_widths: prefixes.lengths } : {}),
    },
    msae: ownRecordOf(source, decoderNorm),
  };
}

function transposed(matrix: Float32Array, d: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let row = 0; row < d; row++) for (let i = 0; i < d; i++) out[i * d + row] = matrix[row * d + i]!;
  return out;
}
