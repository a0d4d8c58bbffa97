/**
 * dictionary_learning (github.com/saprmarks/dictionary_learning, checked against 0.1.0): ae.pt and config.json.
 * Inference as in `dictionary.py` and `trainers/*.py`: BatchTopK and Matryoshka keep relu'd values above a threshold,
 * which is −1 (everything) until training has set it. Works without config.json: the tensors tell the class.
 */
import { type Activation, batchTopK, jumpRelu, relu, topK } from '@msae/core';
import type { Checkpoint, Prefixed } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import { type Folder, readJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import { checkPrefixes, ownFields, ownPrefixes, ownTraining } from '../ownRecord.ts';
import { noPreprocessing } from '../preprocess.ts';
import type { TensorTable } from '../tensorTable.ts';
import { openTorch } from './openTensors.ts';

const classes = [
  'AutoEncoder',
  'AutoEncoderNew',
  'GatedAutoEncoder',
  'JumpReluAutoEncoder',
  'AutoEncoderTopK',
  'BatchTopKSAE',
  'MatryoshkaBatchTopKSAE',
] as const;
type DictClass = (typeof classes)[number];

export async function readDictionaryLearning(folder: Folder, path = 'ae.pt'): Promise<Checkpoint> {
  const { table } = await openTorch(folder, path);
  const directory = path.includes('/') ? path.slice(0, path.lastIndexOf('/') + 1) : '';
  // checkpoints/ae_1000.pt has its configuration one level up
  const config =
    (await readJson(folder, `${directory}config.json`)) ??
    (directory.endsWith('checkpoints/') ? await readJson(folder, `${directory}../config.json`) : undefined);
  const file = `${folder.name}/${directory}config.json`;
  const top = fieldsOf(file, config ?? {});
  const trainer = fieldsOf(file, top.object('trainer'), 'trainer.');
  const dictClass = readClass(trainer, table);
  const { dModel, nLatents, weights } = readWeights(dictClass, table);
  if (trainer.has('activation_dim')) checkSize(trainer, 'activation_dim', dModel);
  if (trainer.has('dict_size')) checkSize(trainer, 'dict_size', nLatents);
  const warnings: string[] = [];
  const k = table.has('k') ? await readK(table, trainer, nLatents) : undefined;
  const threshold =
    table.has('threshold') && dictClass !== 'JumpReluAutoEncoder' ? await table.scalar('threshold') : null;
  const { activation, inferenceThreshold } = readActivation(dictClass, table, k, threshold, warnings);
  const groups = await readGroups(dictClass, table, trainer, nLatents);
  table.finish();
  const own = ownFields(top);
  const prefixes = ownPrefixes(own, nLatents) ?? groups;
  const training = ownTraining(own);
  return {
    format: 'dictionary_learning',
    architecture: dictClass,
    file: table.file,
    dModel,
    nLatents,
    activation,
    applyBDecToInput: dictClass !== 'JumpReluAutoEncoder' && dictClass !== 'AutoEncoderNew',
    weights,
    inferenceThreshold,
    preprocessing: noPreprocessing,
    ...(prefixes ? { prefixes } : {}),
    ...(training ? { training } : {}),
    metadata: { ...(trainer.has('lm_name') ? { model_name: trainer.string('lm_name') } : {}), ...config },
    warnings,
  };
}

function readClass(trainer: Fields, table: TensorTable): DictClass {
  if (trainer.has('dict_class')) return trainer.choice('dict_class', classes);
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
    expected: `those of one of ${classes.join(', ')}`,
  });
}

function readWeights(
  dictClass: DictClass,
  table: TensorTable,
): { dModel: number; nLatents: number; weights: Checkpoint['weights'] } {
  if (dictClass === 'JumpReluAutoEncoder' || dictClass === 'MatryoshkaBatchTopKSAE') {
    const [d, n] = table.shape('W_enc', 2) as [number, number];
    const weights = {
      W_enc: table.matrix('W_enc', [d, n]),
      b_enc: table.vector('b_enc', n),
      W_dec: table.matrix('W_dec', [n, d]),
      b_dec: table.vector('b_dec', d),
      ...(dictClass === 'JumpReluAutoEncoder' ? { threshold: table.vector('threshold', n) } : {}),
    };
    return { dModel: d, nLatents: n, weights };
  }
  const [n, d] = table.shape('encoder.weight', 2) as [number, number];
  const matrices = {
    W_enc: table.matrix('encoder.weight', [n, d], { transpose: true }),
    W_dec: table.matrix('decoder.weight', [d, n], { transpose: true }),
  };
  if (dictClass === 'GatedAutoEncoder') {
    const gated = {
      r_mag: table.vector('r_mag', n),
      b_gate: table.vector('gate_bias', n),
      b_mag: table.vector('mag_bias', n),
    };
    return {
      dModel: d,
      nLatents: n,
      weights: { ...matrices, b_dec: table.vector('decoder_bias', d), gated },
    };
  }
  const bias = {
    AutoEncoder: 'bias',
    AutoEncoderNew: 'decoder.bias',
    AutoEncoderTopK: 'b_dec',
    BatchTopKSAE: 'b_dec',
  };
  const vectors = { b_enc: table.vector('encoder.bias', n), b_dec: table.vector(bias[dictClass], d) };
  return { dModel: d, nLatents: n, weights: { ...matrices, ...vectors } };
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

function readActivation(
  dictClass: DictClass,
  table: TensorTable,
  k: number | undefined,
  threshold: number | null,
  warnings: string[],
): { activation: Activation; inferenceThreshold: number | null } {
  if (dictClass === 'JumpReluAutoEncoder' || dictClass === 'GatedAutoEncoder') {
    return { activation: jumpRelu({ threshold: 0 }), inferenceThreshold: null };
  }
  if (dictClass === 'AutoEncoder' || dictClass === 'AutoEncoderNew') {
    return { activation: relu(), inferenceThreshold: null };
  }
  if (k === undefined) {
    throw formatError({
      file: table.file,
      field: 'tensor k',
      found: 'nothing',
      expected: 'the number of active latents',
    });
  }
  if (dictClass === 'AutoEncoderTopK') return { activation: topK(k), inferenceThreshold: null };
  const unset = threshold === null || threshold < 0;
  if (unset) {
    warnings.push(
      'its inference threshold was never set (short training): every positive latent stays active, far more than k',
    );
  }
  return { activation: batchTopK(k), inferenceThreshold: unset ? 0 : threshold };
}

async function readGroups(
  dictClass: DictClass,
  table: TensorTable,
  trainer: Fields,
  nLatents: number,
): Promise<Prefixed | undefined> {
  if (dictClass !== 'MatryoshkaBatchTopKSAE') return undefined;
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
  return checkPrefixes(
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
