/**
 * A training checkpoint of @msae/train: `<prefix>state.json` and `<prefix>weights.safetensors`, with Adam's moments and
 * counters beside the parameters. Read for inference: the weights of that step, the normaliser folded.
 */
import { type Activation, checkActivation, checkPenalty, type Penalty } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { fieldsOf, parsedField } from '../configFields.ts';
import { type Folder, readJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import { checkPrefixes } from '../ownRecord.ts';
import { noPreprocessing } from '../preprocess.ts';
import { openSafetensors } from './openTensors.ts';

/** @param prefix What precedes `state.json`: runs that train several SAEs at once give each its own. */
export async function readTrainingCheckpoint(folder: Folder, prefix: string): Promise<Checkpoint> {
  const file = `${folder.name}/${prefix}state.json`;
  const json = await readJson(folder, `${prefix}state.json`);
  if (!json)
    throw formatError({ file, field: 'file', found: 'nothing', expected: 'the state beside the weights' });
  const state = fieldsOf(file, json);
  state.choice('format', ['msae-training-checkpoint']);
  const sae = fieldsOf(file, state.object('sae'), 'sae.');
  const d = sae.integer('dModel');
  const n = sae.integer('nLatents');
  const activation = parsedField(sae, 'activation', (value) => checkActivation(value as Activation, n));
  const penalty = parsedField(sae, 'penalty', (value) => checkPenalty(value as Penalty));
  const table = await openSafetensors(folder, `${prefix}weights.safetensors`);
  const weights = {
    W_enc: table.matrix('W_enc', [d, n]),
    b_enc: table.vector('b_enc', n),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
    ...(activation.kind === 'jumprelu' ? { threshold: table.vector('threshold', n) } : {}),
  };
  const average = state.has('normalizer') ? state.number('normalizer') : undefined;
  if (average !== undefined && average <= 0) {
    throw formatError({ file, field: 'normalizer', found: show(average), expected: 'an average norm > 0' });
  }
  const options = fieldsOf(file, state.object('options'), 'options.');
  const scheme = fieldsOf(file, options.object('prefixes'), 'options.prefixes.');
  const lengths = scheme.raw.kind === 'truncated-pareto' ? undefined : scheme.integers('lengths');
  // a long list is cut short in the state
  const complete = lengths?.at(-1) === n;
  const prefixes = complete
    ? checkPrefixes(file, 'options.prefixes.lengths', lengths, scheme.numbers('weights'), n)
    : undefined;
  return {
    format: 'msae_checkpoint',
    architecture: activation.kind,
    file: table.file,
    dModel: d,
    nLatents: n,
    activation,
    penalty,
    applyBDecToInput: sae.boolean('applyBDecToInput', false),
    weights,
    inferenceThreshold: state.has('inferenceThreshold') ? state.number('inferenceThreshold') : null,
    ...(average === undefined ? {} : { inputScale: Math.sqrt(d) / average }),
    preprocessing: noPreprocessing,
    ...(prefixes ? { prefixes } : {}),
    training: { architecture: activation.kind, details: options.raw },
    metadata: { step: state.integer('step', { min: 0 }), tokens: state.integer('tokens', { min: 0 }) },
    warnings: [],
  };
}
