/**
 * SAELens (github.com/decoderesearch/SAELens, checked against 6.54.12): a folder with cfg.json and
 * sae_weights.safetensors, either saved for inference or a training checkpoint. Folding rules: `SAE.fold_*`,
 * `TopKTrainingSAE.process_state_dict_for_saving_inference`, `BatchTopKTrainingSAE`.
 */
import type { PrefixRecord, TrainingRecord } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import type { TensorTable } from '../containers/tensorTable.ts';
import { type Folder, requireJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import type { Format } from '../formats/definition.ts';
import { ownFields, ownPrefixes, ownTraining, prefixRecord } from '../ownRecord.ts';
import { type Architecture, architectures } from './activations.ts';
import { readNormalization } from './constants.ts';
import { modernise } from './legacy.ts';

const configFile = 'cfg.json';
const weightsFile = 'sae_weights.safetensors';

/** Known to SAELens, but not a function this package's SAEs can express. */
const inexpressible = ['matching_pursuit', 'temporal'];

export const saelens: Format = {
  title: 'SAELens',
  marks: [weightsFile],
  recognise: ({ name }) => name === configFile || name === weightsFile,
  read: ({ folder }) => readSaelens(folder),
};

async function readSaelens(folder: Folder): Promise<Checkpoint> {
  const json = await requireJson(folder, configFile, `the configuration beside ${weightsFile}`);
  const file = `${folder.name}/${configFile}`;
  const cfg = fieldsOf(file, modernise(file, json));
  const [name, architecture] = readArchitecture(cfg);
  const d = cfg.integer('d_in');
  const n = cfg.integer('d_sae');
  const { transcoder = false } = architecture;
  const e = readWidth(cfg, d, transcoder);
  const table = await openSafetensors(folder, weightsFile);
  const metadata = fieldsOf(file, cfg.object('metadata'), 'metadata.');
  const weights = readWeights(table, architecture, [d, n, e]);
  const activation = architecture.activation(cfg, n);
  const inferenceThreshold = architecture.batchThreshold ? await table.scalar('topk_threshold') : undefined;
  await refuseScalingFactor(table);
  table.finish();
  const { warnings, ...norm } = await readNormalization(folder, cfg, d, transcoder);
  const prefixes = readPrefixes(cfg, metadata, n);
  const training = readTraining(metadata);
  const heads = cfg.choice('reshape_activations', ['none', 'hook_z'] as const, 'none') === 'hook_z';
  return {
    architecture: name,
    file: table.file,
    input: { width: d, ...(heads && { layout: 'heads' }) },
    ...(transcoder && { output: { width: e } }),
    nLatents: n,
    activation,
    applyBDecToInput: !transcoder && cfg.boolean('apply_b_dec_to_input', true),
    weights,
    ...(table.has('log_threshold') && { logThreshold: true }),
    ...(inferenceThreshold !== undefined && { inferenceThreshold }),
    scaleByDecoderNorm:
      architecture.rescales !== undefined &&
      cfg.boolean('rescale_acts_by_decoder_norm', architecture.rescales),
    ...norm,
    ...(prefixes && { prefixes }),
    ...(training && { training }),
    metadata: metadata.raw,
    warnings: transcoder
      ? [...warnings, 'a transcoder: its output is that of another hook point, not a reconstruction']
      : warnings,
  };
}

function readArchitecture(cfg: Fields): [string, Architecture] {
  const found = cfg.raw.architecture;
  const names = Object.keys(architectures);
  if (typeof found === 'string' && inexpressible.includes(found)) {
    throw formatError({
      file: cfg.file,
      field: 'architecture',
      found: show(found),
      expected: `one of ${names.join(', ')}`,
      hint: 'its encoder is not one linear map with a thresholding activation, so it has no equivalent here',
    });
  }
  const name = cfg.choice('architecture', names);
  return [name, architectures[name]!];
}

/** d_out, which only transcoders may have different from d_in. */
function readWidth(cfg: Fields, d: number, transcoder: boolean): number {
  const e = cfg.integer('d_out', { default: d });
  if (transcoder || e === d) return e;
  throw formatError({
    file: cfg.file,
    field: 'd_out',
    found: show(e),
    expected: `${d} (= d_in)`,
    hint: 'only a transcoder writes another width than it reads',
  });
}

function readWeights(
  table: TensorTable,
  architecture: Architecture,
  [d, n, e]: readonly [number, number, number],
): Checkpoint['weights'] {
  const common = {
    W_enc: table.matrix('W_enc', [d, n]),
    W_dec: table.matrix('W_dec', [n, e]),
    b_dec: table.vector('b_dec', e),
  };
  if (architecture.gated) {
    const gated = {
      r_mag: table.vector('r_mag', n),
      b_gate: table.vector('b_gate', n),
      b_mag: table.vector('b_mag', n),
    };
    return { ...common, gated };
  }
  return {
    ...common,
    b_enc: table.vector('b_enc', n),
    ...(architecture.thresholds && {
      threshold: table.vector(table.has('log_threshold') ? 'log_threshold' : 'threshold', n),
    }),
    ...(architecture.skip && { skip: table.matrix('W_skip', [e, d], { transpose: true }) }),
  };
}

/** Old files carry a fine-tuning factor per latent; all ones means none. */
async function refuseScalingFactor(table: TensorTable): Promise<void> {
  if (!table.has('scaling_factor')) return;
  const values = await table.list('scaling_factor');
  if (values.some((value) => Math.abs(value - 1) > 1e-5)) {
    throw formatError({
      file: table.file,
      field: 'tensor scaling_factor',
      found: 'a fine-tuned factor per latent',
      expected: 'none, or all ones',
      hint: 'fold it in SAELens before saving',
    });
  }
}

function readPrefixes(cfg: Fields, metadata: Fields, n: number): PrefixRecord | undefined {
  const own = ownPrefixes(ownFields(metadata), n);
  if (own) return own;
  const details = fieldsOf(cfg.file, metadata.object('training_architecture_details'));
  const widths = cfg.integers('matryoshka_widths') ?? details.integers('matryoshka_widths');
  return widths?.length ? prefixRecord(cfg.file, 'matryoshka_widths', widths, undefined, n) : undefined;
}

function readTraining(metadata: Fields): TrainingRecord | undefined {
  const own = ownTraining(ownFields(metadata));
  if (!metadata.has('training_architecture')) return own;
  const architecture = metadata.string('training_architecture');
  const details = metadata.object('training_architecture_details');
  return { architecture, details: { ...details, ...own?.details } };
}
