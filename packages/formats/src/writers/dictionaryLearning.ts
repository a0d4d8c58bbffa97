/**
 * dictionary_learning (checked with 0.1.0, `utils.load_dictionary`): relu → AutoEncoderNew, topk → AutoEncoderTopK,
 * batchtopk → BatchTopKSAE or, with prefixes, MatryoshkaBatchTopKSAE, jumprelu → JumpReluAutoEncoder.
 */
import { formatError } from '../formatError.ts';
import { type Exportable, foldForExport } from './exportable.ts';
import { ownRecordOf } from './ownRecordOf.ts';
import { jsonFile, type SaeFile, type WeightDtype } from './saeFile.ts';
import { type TorchEntry, torchStateDict } from './torchWrite.ts';

type DictClass =
  | 'AutoEncoderNew'
  | 'AutoEncoderTopK'
  | 'BatchTopKSAE'
  | 'MatryoshkaBatchTopKSAE'
  | 'JumpReluAutoEncoder';

export async function dictionaryLearningFiles(source: Exportable, dtype: WeightDtype): Promise<SaeFile[]> {
  const { config, prefixes, sae, metadata } = source;
  const { dModel: d, nLatents: n, activation } = config;
  const dictClass = classOf(source);
  const applyBDecToInput = dictClass !== 'AutoEncoderNew' && dictClass !== 'JumpReluAutoEncoder';
  const folded = await foldForExport(source, { decoderNorm: false, applyBDecToInput });
  const k = 'k' in activation ? Math.max(1, Math.round(activation.k)) : undefined;
  const groups = dictClass === 'MatryoshkaBatchTopKSAE' ? groupSizes(prefixes?.lengths ?? [n]) : undefined;
  const float = (
    name: string,
    shape: number[],
    data: () => Promise<Float32Array>,
    strides?: number[],
  ): TorchEntry => ({
    name,
    shape,
    dtype,
    data,
    ...(strides ? { strides } : {}),
  });
  // [N, d] with strides (1, N) is W_enc as it lies, which is also how the peer's own files have it
  const byRows = groups || dictClass === 'JumpReluAutoEncoder';
  const matrices = byRows
    ? [
        float('W_enc', [d, n], folded.W_enc),
        float('b_enc', [n], folded.b_enc),
        float('W_dec', [n, d], folded.W_dec),
        float('b_dec', [d], folded.b_dec),
      ]
    : [
        float('encoder.weight', [n, d], folded.W_enc, [1, n]),
        float('encoder.bias', [n], folded.b_enc),
        float('decoder.weight', [d, n], folded.W_dec, [1, d]),
        float(dictClass === 'AutoEncoderNew' ? 'decoder.bias' : 'b_dec', [d], folded.b_dec),
      ];
  const entries: TorchEntry[] = [...matrices];
  if (dictClass === 'JumpReluAutoEncoder') entries.push(float('threshold', [n], folded.threshold));
  if (k !== undefined) {
    entries.push({ name: 'k', shape: [], dtype: 'I32', data: async () => Int32Array.of(k) });
    const threshold = sae.inferenceThreshold ?? -1;
    entries.push({
      name: 'threshold',
      shape: [],
      dtype: 'F32',
      data: async () => Float32Array.of(threshold),
    });
  }
  if (groups) {
    const data = async () => BigInt64Array.from(groups, BigInt);
    entries.push({ name: 'group_sizes', shape: [groups.length], dtype: 'I64', data });
  }
  const trainer = {
    dict_class: dictClass,
    activation_dim: d,
    dict_size: n,
    ...(k === undefined ? {} : { k }),
    ...(groups
      ? {
          group_fractions: groups.map((size) => size / n),
          group_weights: prefixes?.weights.slice(-groups.length),
        }
      : {}),
    ...pick(metadata, ['lm_name', 'layer', 'submodule_name']),
  };
  const json = {
    trainer,
    buffer: pick(metadata, ['ctx_len', 'd_submodule', 'io']),
    msae: ownRecordOf(source, false),
  };
  return [torchStateDict('ae.pt', entries), jsonFile('config.json', json)];
}

function classOf(source: Exportable): DictClass {
  const { config, preprocessing, prefixes } = source;
  const fail = (field: string, found: string, expected: string): Error =>
    formatError({
      file: 'dictionary_learning export',
      field,
      found,
      expected,
      hint: 'export to saelens instead',
    });
  if (preprocessing.normalize !== 'none') throw fail('normalisation', preprocessing.normalize, 'none');
  if (source.skip) throw fail('skip connection', 'one', 'none');
  switch (config.activation.kind) {
    case 'relu':
      return 'AutoEncoderNew';
    case 'topk':
      return 'AutoEncoderTopK';
    case 'jumprelu':
      return 'JumpReluAutoEncoder';
    case 'batchtopk':
      return prefixes && prefixes.lengths.length > 1 ? 'MatryoshkaBatchTopKSAE' : 'BatchTopKSAE';
    case 'identity':
      throw fail('activation', 'identity', 'relu, topk, batchtopk or jumprelu');
  }
}

/** Prefix lengths as the sizes of the groups between them; a prefix of length 0 has none. */
function groupSizes(lengths: readonly number[]): number[] {
  const positive = lengths.filter((length) => length > 0);
  return positive.map((length, i) => length - (positive[i - 1] ?? 0));
}

function pick(metadata: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => key in metadata).map((key) => [key, metadata[key]]));
}
