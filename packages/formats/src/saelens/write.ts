/**
 * SAELens for inference (checked with 6.54.12, `SAE.load_from_disk`): standard, topk, abstopk, jumprelu, and the
 * transcoders of standard and jumprelu. The transform is folded, but for what SAELens has a word for.
 */
import { fold, isAutoencoder, type Sae, type SaeRecord } from '@msae/core';
import { constantNormalizations, needsKey } from '../checkpoint.ts';
import {
  jsonFile,
  lazyTensor,
  safetensorsFile,
  transposed,
  valuesOf,
  type WeightDtype,
} from '../containers/saeFile.ts';
import { cannotHold } from '../formatError.ts';
import type { Writer } from '../formats/definition.ts';
import { type Normalization, wordFor } from '../normalization.ts';
import { ownRecordOf, widthsOf } from '../ownRecord.ts';
import { type Written, written } from './activations.ts';

/** The release whose files these are. */
const saeLensVersion = '6.54.12';

const dtypeNames: Readonly<Record<WeightDtype, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

const refuse = (field: string, found: string, expected: string): Error =>
  cannotHold('saelens export', field, found, expected);

export const writeSaelens: Writer = {
  files: ['sae_weights.safetensors', 'cfg.json'],
  async write(sae, { dtype, foldDecoderNorm }) {
    const { config, skip } = sae;
    const { activation, input } = config;
    const [d, n, e] = widthsOf(sae);
    const peer = written[activation.kind];
    if (!peer)
      throw refuse('activation', activation.kind, `${Object.keys(written).join(', ')}; use format msae`);
    if (peer.thresholds && sae.params.threshold === undefined && sae.inferenceThreshold === null) {
      throw refuse(
        'activation',
        `${activation.kind} without an inference threshold`,
        'one that training has set (sae.inferenceThreshold)',
      );
    }
    const transcoder = skip !== null || !isAutoencoder(config);
    const architecture = transcoder ? transcoderOf(sae, peer) : peer.architecture;
    const decoderNorm = foldDecoderNorm && !peer.ranks;
    const applyBDecToInput = config.applyBDecToInput && !transcoder;
    const folded = await fold(sae, { decoderNorm, applyBDecToInput });
    if (transcoder && isAutoencoder(config) && folded.rest.length > 0) {
      // a transcoder's output is not normalised back
      const found = folded.rest.map(({ kind }) => kind).join(', ');
      throw refuse('transform', `${found} beside a skip connection`, 'steps that fold; use format msae');
    }
    const normalize = normalizationOf(sae, wordFor(folded.rest));
    const tensors = [
      lazyTensor('W_enc', [d, n], dtype, folded.W_enc),
      lazyTensor('b_enc', [n], dtype, folded.b_enc),
      lazyTensor('W_dec', [n, e], dtype, folded.W_dec),
      lazyTensor('b_dec', [e], dtype, folded.b_dec),
    ];
    if (peer.thresholds) tensors.push(lazyTensor('threshold', [n], dtype, folded.threshold));
    if (skip) {
      const turned = async () => transposed(await valuesOf(skip), d, e);
      tensors.push(lazyTensor('W_skip', [e, d], dtype, turned));
    }
    const cfg = {
      architecture,
      d_in: d,
      d_sae: n,
      ...(transcoder && { d_out: e }),
      dtype: dtypeNames[dtype],
      device: 'cpu',
      apply_b_dec_to_input: applyBDecToInput,
      normalize_activations: normalize,
      reshape_activations: input.layout === 'heads' ? 'hook_z' : 'none',
      ...(peer.ranks && 'k' in activation && { k: activation.k, rescale_acts_by_decoder_norm: false }),
      metadata: {
        ...metadataOf(sae, peer),
        msae: ownRecordOf(sae, decoderNorm, folded.rest),
      },
    };
    return [safetensorsFile('sae_weights.safetensors', tensors), jsonFile('cfg.json', cfg)];
  },
};

function transcoderOf({ skip }: Sae, { architecture, transcoders }: Written): string {
  if (transcoders === undefined) {
    throw refuse('activation', `a transcoder with ${architecture}`, 'a transcoder with relu or jumprelu');
  }
  return `${transcoders}${skip ? 'skip_' : ''}transcoder`;
}

/** The word for what cannot be folded, or for constants that were missing when the SAE was read. */
function normalizationOf({ record, transform }: Sae, word: Normalization | undefined): Normalization {
  if (word === undefined) {
    const found = transform.input.map(({ kind }) => kind).join(', ');
    throw refuse(
      'transform',
      found,
      'steps that fold into the weights, after at most one layer-norm (epsilon 1e-5) or constant-norm; use format msae',
    );
  }
  const missing = constantNormalizations.find((name) => name === record.metadata[needsKey]);
  return word === 'none' && missing ? missing : word;
}

/** SAELens keeps unknown metadata; its own keys for the training architecture are filled in too. */
function metadataOf({ config, prefixes, record }: Sae, peer: Written): Record<string, unknown> {
  const { activation, input } = config;
  const matryoshka = prefixes && prefixes.lengths.length > 1;
  const base = peer.trained ?? activation.kind;
  const { msae: _, [needsKey]: __, ...metadata }: SaeRecord['metadata'] = record.metadata;
  return {
    ...(input.name !== undefined && { hook_name: input.name }),
    ...metadata,
    sae_lens_version: saeLensVersion,
    sae_lens_training_version: null,
    training_architecture: record.training?.architecture ?? (matryoshka ? `matryoshka_${base}` : base),
    training_architecture_details: {
      ...record.training?.details,
      ...('k' in activation && { k: activation.k }),
      ...(matryoshka && { matryoshka_widths: prefixes.lengths }),
    },
  };
}
