/** msae.json of version 1: the configuration at the top, a scale and two words for what is done to activations. */
import { type Activation, checkActivation, checkConfig, checkPenalty, none, type Penalty } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { type Fields, fieldsOf, parsedField } from '../configFields.ts';
import type { TensorTable } from '../containers/tensorTable.ts';
import { formatError, show } from '../formatError.ts';
import { normalization, normalizations } from '../normalization.ts';
import { coreWeights, described, optionalPrefixes } from './wholeSae.ts';

export function readVersion1(json: Fields, table: TensorTable): Checkpoint {
  const n = json.integer('nLatents');
  const config = checkConfig({
    input: {
      width: json.integer('dModel'),
      ...(json.choice('reshape', ['none', 'hook_z'], 'none') === 'hook_z' && { layout: 'heads' }),
    },
    nLatents: n,
    activation: parsedField(json, 'activation', (value) => checkActivation(value as Activation, n)),
    penalty: json.has('penalty')
      ? parsedField(json, 'penalty', (value) => checkPenalty(value as Penalty))
      : none(),
    applyBDecToInput: json.boolean('applyBDecToInput', false),
  });
  const inputScale = json.number('inputScale', { default: 1 });
  if (inputScale <= 0) {
    throw formatError({ file: json.file, field: 'inputScale', found: show(inputScale), expected: '> 0' });
  }
  const training = json.has('training')
    ? fieldsOf(json.file, json.object('training'), 'training.')
    : undefined;
  const weights = coreWeights(table, config);
  table.finish();
  return {
    ...described(config),
    file: table.file,
    weights,
    inferenceThreshold: json.has('inferenceThreshold') ? json.number('inferenceThreshold') : null,
    ...normalization(json.choice('normalize', normalizations, 'none'), inputScale),
    ...optionalPrefixes(json, n),
    ...(training && {
      training: { architecture: training.string('architecture'), details: training.object('details') },
    }),
    metadata: json.object('metadata'),
  };
}
