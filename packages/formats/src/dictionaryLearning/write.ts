/**
 * dictionary_learning (checked with 0.1.0, `utils.load_dictionary`): relu → AutoEncoderNew, topk → AutoEncoderTopK,
 * batchtopk → BatchTopKSAE or, with prefixes, MatryoshkaBatchTopKSAE, jumprelu → JumpReluAutoEncoder.
 */
import { fold, isAutoencoder, type Sae } from '@msae/core';
import { needsKey } from '../checkpoint.ts';
import { jsonFile } from '../containers/saeFile.ts';
import { type TorchEntry, torchStateDict } from '../containers/torchWrite.ts';
import { cannotHold } from '../formatError.ts';
import type { Writer } from '../formats/definition.ts';
import { ownRecordOf, widthsOf } from '../ownRecord.ts';
import { type ClassName, classes, written } from './classes.ts';

export const writeDictionaryLearning: Writer = {
  files: ['ae.pt', 'config.json'],
  async write(sae, { dtype }) {
    const { config, prefixes, record } = sae;
    const { activation } = config;
    const [d, n] = widthsOf(sae);
    const name = classOf(sae);
    const dictClass = classes[name];
    const folded = await fold(sae, { applyBDecToInput: dictClass.subtracts ?? false });
    if (folded.rest.length > 0)
      throw refuse('transform', folded.rest.map(({ kind }) => kind).join(', '), 'steps that fold');
    const k = dictClass.k && 'k' in activation ? Math.max(1, Math.round(activation.k)) : undefined;
    const groups = dictClass.groups && groupSizes(prefixes?.lengths ?? [n]);
    const float = (
      tensor: string,
      shape: number[],
      data: () => Promise<Float32Array>,
      strides?: number[],
    ): TorchEntry => ({ name: tensor, shape, dtype, data, ...(strides && { strides }) });
    // [N, d] with strides (1, N) is W_enc as it lies, which is also how the peer's own files have it
    const entries: TorchEntry[] = dictClass.byRows
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
          float(dictClass.bias, [d], folded.b_dec),
        ];
    if (dictClass.thresholds) entries.push(float('threshold', [n], folded.threshold));
    if (k !== undefined) {
      entries.push({ name: 'k', shape: [], dtype: 'I32', data: async () => Int32Array.of(k) });
      // the peer's word for one that was never set
      const threshold = sae.inferenceThreshold ?? -1;
      const data = async () => Float32Array.of(threshold);
      entries.push({ name: 'threshold', shape: [], dtype: 'F32', data });
    }
    if (groups) {
      const data = async () => BigInt64Array.from(groups, BigInt);
      entries.push({ name: 'group_sizes', shape: [groups.length], dtype: 'I64', data });
    }
    const trainer = {
      dict_class: name,
      activation_dim: d,
      dict_size: n,
      ...(k !== undefined && { k }),
      ...(groups && {
        group_fractions: groups.map((size) => size / n),
        group_weights: prefixes?.weights.slice(-groups.length),
      }),
      ...pick(record.metadata, ['lm_name', 'layer', 'submodule_name']),
    };
    const json = {
      trainer,
      buffer: pick(record.metadata, ['ctx_len', 'd_submodule', 'io']),
      msae: ownRecordOf(sae, false),
    };
    return [torchStateDict('ae.pt', entries), jsonFile('config.json', json)];
  },
};

const refuse = (field: string, found: string, expected: string): Error =>
  cannotHold('dictionary_learning export', field, found, `${expected}; export to saelens or msae instead`);

function classOf({ config, skip, prefixes, record }: Sae): ClassName {
  const missing = record.metadata[needsKey];
  if (missing !== undefined) throw refuse('normalisation', String(missing), 'none');
  if (skip) throw refuse('skip connection', 'one', 'none');
  if (!isAutoencoder(config)) throw refuse('output', 'another site than the input', 'an autoencoder');
  const found = written[config.activation.kind];
  if (!found) throw refuse('activation', config.activation.kind, Object.keys(written).join(', '));
  return (prefixes && prefixes.lengths.length > 1 && found.grouped) || found.name;
}

/** Prefix lengths as the sizes of the groups between them; a prefix of length 0 has none. */
function groupSizes(lengths: readonly number[]): number[] {
  const positive = lengths.filter((length) => length > 0);
  return positive.map((length, i) => length - (positive[i - 1] ?? 0));
}

function pick(metadata: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => key in metadata).map((key) => [key, metadata[key]]));
}
