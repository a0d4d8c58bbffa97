/**
 * dictionary_learning (github.com/saprmarks/dictionary_learning, checked against 0.1.0): ae.pt and config.json.
 * Inference as in `dictionary.py` and `trainers/*.py`: BatchTopK and Matryoshka keep relu'd values above a threshold,
 * which is −1 (everything) until training has set it. Works without config.json: the tensors tell the class.
 */
import { activationTraits, type PrefixRecord } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import type { TensorTable } from '../containers/tensorTable.ts';
import { readJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import type { Candidate, Format } from '../formats/definition.ts';
import { ownFields, ownPrefixes, ownTraining, prefixRecord } from '../ownRecord.ts';
import { type ClassName, classes, classNames, type DictClass } from './classes.ts';

export const dictionaryLearning: Format = {
  title: 'dictionary_learning',
  marks: ['ae.pt'],
  recognise: ({ name }) => /\.(pt|pth|bin|pkl)$/i.test(name),
  read: readDictionaryLearning,
};

async function readDictionaryLearning({ root: folder, path, torch }: Candidate): Promise<Checkpoint> {
  const { table } = await torch();
  const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : '';
  // checkpoints/ae_1000.pt has its configuration one level up
  const config =
    (await readJson(folder, `${directory}config.json`)) ??
    (directory.endsWith('checkpoints/') ? await readJson(folder, `${directory}../config.json`) : undefined);
  const file = `${folder.name}/${directory}config.json`;
  const top = fieldsOf(file, config ?? {});
  const trainer = fieldsOf(file, top.object('trainer'), 'trainer.');
  const name = readClass(trainer, table);
  const dictClass = classes[name];
  const { d, n, weights } = readWeights(dictClass, table);
  if (trainer.has('activation_dim')) checkSize(trainer, 'activation_dim', d);
  if (trainer.has('dict_size')) checkSize(trainer, 'dict_size', n);
  const activation = dictClass.activation(dictClass.k ? await readK(table, trainer, n) : 0);
  const threshold =
    dictClass.k && table.has('threshold') ? await table.scalar('threshold') : Number.NEGATIVE_INFINITY;
  const groups = dictClass.groups ? await readGroups(table, trainer, n) : undefined;
  table.finish();
  const { needsThreshold } = activationTraits(activation);
  const own = ownFields(top);
  const prefixes = ownPrefixes(own, n) ?? groups;
  const training = ownTraining(own);
  return {
    architecture: name,
    file: table.file,
    input: { width: d },
    nLatents: n,
    activation,
    applyBDecToInput: dictClass.subtracts ?? false,
    weights,
    inferenceThreshold: needsThreshold ? Math.max(threshold, 0) : null,
    ...(prefixes && { prefixes }),
    ...(training && { training }),
    metadata: { ...(trainer.has('lm_name') && { model_name: trainer.string('lm_name') }), ...config },
    warnings:
      needsThreshold && threshold < 0
        ? [
            'its inference threshold was never set (short training): every positive latent stays active, far more than k',
          ]
        : [],
  };
}

/** By the configuration, else by the tensors. */
function readClass(trainer: Fields, table: TensorTable): ClassName {
  if (trainer.has('dict_class')) return trainer.choice('dict_class', classNames);
  if (table.has('group_sizes')) return 'MatryoshkaBatchTopKSAE';
  if (table.has('r_mag')) return 'GatedAutoEncoder';
  if (table.has('W_enc')) return 'JumpReluAutoEncoder';
  if (table.has('k')) {
    throw formatError({
      file: table.file,
      field: 'config.json',
      found: 'nothing',
      expected: 'trainer.dict_class',
      hint: 'AutoEncoderTopK and BatchTopKSAE have the same tensors; put the config.json beside the weights',
    });
  }
  if (table.has('bias')) return 'AutoEncoder';
  if (table.has('decoder.bias')) return 'AutoEncoderNew';
  throw formatError({
    file: table.file,
    field: 'tensors',
    found: table.names.join(', ') || 'none',
    expected: `those of one of ${classNames.join(', ')}`,
  });
}

function readWeights(
  { byRows, gated, bias, thresholds }: DictClass,
  table: TensorTable,
): { d: number; n: number; weights: Checkpoint['weights'] } {
  if (byRows) {
    const [d, n] = table.shape('W_enc', 2) as [number, number];
    const weights = {
      W_enc: table.matrix('W_enc', [d, n]),
      b_enc: table.vector('b_enc', n),
      W_dec: table.matrix('W_dec', [n, d]),
      b_dec: table.vector(bias, d),
      ...(thresholds && { threshold: table.vector('threshold', n) }),
    };
    return { d, n, weights };
  }
  const [n, d] = table.shape('encoder.weight', 2) as [number, number];
  const weights = {
    W_enc: table.matrix('encoder.weight', [n, d], { transpose: true }),
    W_dec: table.matrix('decoder.weight', [d, n], { transpose: true }),
    b_dec: table.vector(bias, d),
  };
  if (!gated) return { d, n, weights: { ...weights, b_enc: table.vector('encoder.bias', n) } };
  const biases = {
    r_mag: table.vector('r_mag', n),
    b_gate: table.vector('gate_bias', n),
    b_mag: table.vector('mag_bias', n),
  };
  return { d, n, weights: { ...weights, gated: biases } };
}

async function readK(table: TensorTable, trainer: Fields, nLatents: number): Promise<number> {
  const k = await table.scalar('k');
  if (!Number.isSafeInteger(k) || k < 1 || k > nLatents) {
    throw formatError({ file: table.file, field: 'tensor k', found: show(k), expected: `1 to ${nLatents}` });
  }
  if (trainer.has('k') && trainer.integer('k') !== k) {
    throw formatError({
      file: trainer.file,
      field: 'trainer.k',
      found: show(trainer.raw.k),
      expected: `${k}, as in the weights`,
    });
  }
  return k;
}

async function readGroups(table: TensorTable, trainer: Fields, nLatents: number): Promise<PrefixRecord> {
  const sizes = await table.list('group_sizes');
  let sum = 0;
  const lengths = sizes.map((size) => (sum += size));
  if (sum !== nLatents) {
    throw formatError({
      file: table.file,
      field: 'tensor group_sizes',
      found: `${show(sizes)}, together ${sum}`,
      expected: `${nLatents} latents`,
    });
  }
  const weights = trainer.numbers('group_weights');
  return prefixRecord(
    table.file,
    'group_sizes',
    lengths,
    weights ?? sizes.map(() => 1 / sizes.length),
    nLatents,
  );
}

function checkSize(trainer: Fields, name: string, expected: number): void {
  const found = trainer.integer(name);
  if (found !== expected) {
    throw formatError({
      file: trainer.file,
      field: `trainer.${name}`,
      found: `${found}`,
      expected: `${expected}, as the weights have it`,
    });
  }
}
