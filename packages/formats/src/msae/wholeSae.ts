/** An SAE's own JSON (config, transform, record) out of a file: what the native format and training checkpoints share. */
import { activationTraits, checkConfig, type PrefixRecord, type SaeConfig } from '@msae/core';
import { type Checkpoint, constantNormalizations, needsKey, type StoredStep } from '../checkpoint.ts';
import { type Fields, fieldsOf, parsedField } from '../configFields.ts';
import type { TensorTable } from '../containers/tensorTable.ts';
import { formatError, show } from '../formatError.ts';
import { prefixRecord } from '../ownRecord.ts';
import { stepTensor } from './file.ts';

/** The configuration under `name`. */
export function readConfig(fields: Fields, name: string): SaeConfig {
  return parsedField(fields, name, (value) => checkConfig(value as Parameters<typeof checkConfig>[0]));
}

/** The tensors of an SAE of this configuration, under the core's names. */
export function coreWeights(table: TensorTable, config: SaeConfig): Checkpoint['weights'] {
  const [d, n, e] = [config.input.width, config.nLatents, (config.output ?? config.input).width];
  return {
    W_enc: table.matrix('W_enc', [d, n]),
    b_enc: table.vector('b_enc', n),
    W_dec: table.matrix('W_dec', [n, e]),
    b_dec: table.vector('b_dec', e),
    ...(activationTraits(config.activation).learnsThreshold && { threshold: table.vector('threshold', n) }),
    ...(table.has('skip') && { skip: table.matrix('skip', [d, e]) }),
  };
}

/** The parts of a description that a configuration says. */
export function described(
  config: SaeConfig,
): Pick<
  Checkpoint,
  'architecture' | 'input' | 'output' | 'nLatents' | 'activation' | 'penalty' | 'applyBDecToInput'
> {
  return { architecture: config.activation.kind, ...config };
}

/** The steps of one side: JSON here, arrays beside the weights. */
export function readSteps(
  transform: Fields,
  side: 'input' | 'output',
  table: TensorTable,
  width: number,
): StoredStep[] {
  const steps = transform.raw[side] ?? [];
  const fail = (found: unknown, expected: string): Error =>
    formatError({ file: transform.file, field: `transform.${side}`, found: show(found), expected });
  if (!Array.isArray(steps)) throw fail(steps, 'a list of steps');
  return steps.map((step: unknown, i) => {
    if (typeof step !== 'object' || step === null) throw fail(step, 'steps with a kind');
    const { kind, ...numbers } = step as Record<string, unknown>;
    if (typeof kind !== 'string') throw fail(kind, 'a kind');
    const prefix = stepTensor(side, i, '');
    const names = table.names
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
    const arrays = names.map((name) => {
      const tensor = prefix + name;
      const matrix = table.rank(tensor) === 2;
      return [name, matrix ? table.matrix(tensor, [width, width]) : table.vector(tensor, width)] as const;
    });
    return { kind, numbers: numbers as Record<string, number>, arrays: Object.fromEntries(arrays) };
  });
}

/** What is known besides: threshold of inference, prefixes, where it comes from. `record` may be absent. */
export function readState(
  state: Fields,
  nLatents: number,
): Pick<
  Checkpoint,
  'inferenceThreshold' | 'prefixes' | 'training' | 'metadata' | 'warnings' | 'source' | 'needs'
> {
  const at = (holder: Fields, name: string): Fields =>
    fieldsOf(state.file, holder.object(name), `${holder.path}${name}.`);
  const record = at(state, 'record');
  const training = record.has('training') ? at(record, 'training') : undefined;
  const source = record.has('source') ? at(record, 'source') : undefined;
  const metadata = record.object('metadata');
  const needs = constantNormalizations.find((name) => name === metadata[needsKey]);
  return {
    inferenceThreshold: state.has('inferenceThreshold') ? state.number('inferenceThreshold') : null,
    ...optionalPrefixes(state, nLatents),
    ...(training && {
      training: { architecture: training.string('architecture'), details: training.object('details') },
    }),
    metadata,
    warnings: record.strings('warnings') ?? [],
    ...(source && {
      source: { format: source.string('format'), architecture: source.string('architecture') },
    }),
    ...(needs && { needs }),
  };
}

/** `prefixes: {lengths, weights}` */
export function optionalPrefixes(state: Fields, nLatents: number): { prefixes?: PrefixRecord } {
  if (!state.has('prefixes')) return {};
  const prefixes = fieldsOf(state.file, state.object('prefixes'), 'prefixes.');
  const lengths = prefixes.integers('lengths') ?? [];
  return {
    prefixes: prefixRecord(state.file, 'prefixes.lengths', lengths, prefixes.numbers('weights'), nLatents),
  };
}
