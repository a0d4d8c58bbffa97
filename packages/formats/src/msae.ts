/**
 * The native format: a folder with sae.safetensors (the core parameters under their own names) and msae.json, which
 * holds the SAE's config, its inference threshold, its prefixes and the input scale it was trained with. Nothing is
 * folded, so what is read is bit for bit what was trained.
 */
import { type Activation, checkActivation, checkPenalty, none, type Penalty } from '@msae/core';
import type { Checkpoint } from './checkpoint.ts';
import { fieldsOf, parsedField } from './configFields.ts';
import { type Folder, readJson } from './folder.ts';
import { formatError, show } from './formatError.ts';
import { checkPrefixes } from './ownRecord.ts';
import { normalizations } from './preprocess.ts';
import { openSafetensors } from './readers/openTensors.ts';

/** msae.json */
export interface MsaeConfig {
  readonly format: 'msae';
  readonly version: 1;
  readonly dModel: number;
  readonly nLatents: number;
  readonly activation: Activation;
  readonly penalty: Penalty;
  readonly applyBDecToInput: boolean;
  /** batchtopk: pre-activations above it are kept in inference. */
  readonly inferenceThreshold: number | null;
  /** The SAE sees inputScale·x, and its output is divided by it. */
  readonly inputScale: number;
  readonly normalize: (typeof normalizations)[number];
  readonly reshape: 'none' | 'hook_z';
  readonly prefixes: { readonly lengths: readonly number[]; readonly weights: readonly number[] } | null;
  /** How it was trained: free. */
  readonly training: {
    readonly architecture: string;
    readonly details: Readonly<Record<string, unknown>>;
  } | null;
  /** The model, the hook, the data: free. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export const msaeConfigFile = 'msae.json';
export const msaeWeightsFile = 'sae.safetensors';

/** Reads the native format. */
export async function readMsae(folder: Folder): Promise<Checkpoint> {
  const file = `${folder.name}/${msaeConfigFile}`;
  const json = await readJson(folder, msaeConfigFile);
  if (!json) throw formatError({ file, field: 'file', found: 'nothing', expected: 'the configuration' });
  const config = fieldsOf(file, json);
  config.choice('format', ['msae']);
  const version = config.integer('version');
  if (version !== 1) {
    throw formatError({
      file,
      field: 'version',
      found: `${version}`,
      expected: '1',
      hint: 'update @msae/formats',
    });
  }
  const d = config.integer('dModel');
  const n = config.integer('nLatents');
  const activation = parsedField(config, 'activation', (value) => checkActivation(value as Activation, n));
  const penalty = config.has('penalty')
    ? parsedField(config, 'penalty', (value) => checkPenalty(value as Penalty))
    : none();
  const table = await openSafetensors(folder, msaeWeightsFile);
  const weights = {
    W_enc: table.matrix('W_enc', [d, n]),
    b_enc: table.vector('b_enc', n),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
    ...(activation.kind === 'jumprelu' ? { threshold: table.vector('threshold', n) } : {}),
    ...(table.has('skip') ? { skip: table.matrix('skip', [d, d]) } : {}),
  };
  table.finish();
  const inputScale = config.number('inputScale', { default: 1 });
  if (inputScale <= 0)
    throw formatError({ file, field: 'inputScale', found: show(inputScale), expected: '> 0' });
  const prefixes = config.has('prefixes')
    ? fieldsOf(file, config.object('prefixes'), 'prefixes.')
    : undefined;
  const training = config.has('training')
    ? fieldsOf(file, config.object('training'), 'training.')
    : undefined;
  return {
    format: 'msae',
    architecture: activation.kind,
    file: table.file,
    dModel: d,
    nLatents: n,
    activation,
    penalty,
    applyBDecToInput: config.boolean('applyBDecToInput', false),
    weights,
    inferenceThreshold: config.has('inferenceThreshold') ? config.number('inferenceThreshold') : null,
    ...(inputScale === 1 ? {} : { inputScale }),
    preprocessing: {
      normalize: config.choice('normalize', normalizations, 'none'),
      reshape: config.choice('reshape', ['none', 'hook_z'], 'none'),
    },
    ...(prefixes
      ? {
          prefixes: checkPrefixes(
            file,
            'prefixes.lengths',
            prefixes.integers('lengths') ?? [],
            prefixes.numbers('weights'),
            n,
          ),
        }
      : {}),
    ...(training
      ? { training: { architecture: training.string('architecture'), details: training.object('details') } }
      : {}),
    metadata: config.object('metadata'),
    warnings: [],
  };
}
