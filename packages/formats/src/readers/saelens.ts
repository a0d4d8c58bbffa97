/**
 * SAELens (github.com/decoderesearch/SAELens, checked against 6.54.12): a folder with cfg.json and
 * sae_weights.safetensors, either saved for inference or a training checkpoint. Folding rules: `SAE.fold_*`,
 * `TopKTrainingSAE.process_state_dict_for_saving_inference`, `BatchTopKTrainingSAE`.
 */
import { type Activation, batchTopK, jumpRelu, relu, topK } from '@msae/core';
import type { Checkpoint, Prefixed, TrainingRecord } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import { type Folder, type JsonObject, readJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import { checkPrefixes, ownFields, ownPrefixes, ownTraining } from '../ownRecord.ts';
import { normalizations, type Preprocessing } from '../preprocess.ts';
import type { TensorTable } from '../tensorTable.ts';
import { openSafetensors } from './openTensors.ts';

const weightsFile = 'sae_weights.safetensors';

const architectures = [
  'standard',
  'topk',
  'jumprelu',
  'gated',
  'batchtopk',
  'matryoshka_batchtopk',
  'transcoder',
  'skip_transcoder',
  'jumprelu_transcoder',
  'jumprelu_skip_transcoder',
] as const;
type Architecture = (typeof architectures)[number];

/** Known to SAELens, but not a function this package's SAEs can express. */
const inexpressible = ['abstopk', 'matching_pursuit', 'temporal'];

export async function readSaelens(folder: Folder): Promise<Checkpoint> {
  const json = await readJson(folder, 'cfg.json');
  const file = `${folder.name}/cfg.json`;
  if (!json) {
    throw formatError({
      file,
      field: 'file',
      found: 'nothing',
      expected: 'the configuration beside sae_weights.safetensors',
    });
  }
  const cfg = fieldsOf(file, modernise(file, json));
  const architecture = readArchitecture(cfg);
  const dModel = cfg.integer('d_in');
  const nLatents = cfg.integer('d_sae');
  if (cfg.has('d_out') && cfg.integer('d_out') !== dModel) {
    throw formatError({
      file,
      field: 'd_out',
      found: show(cfg.raw.d_out),
      expected: `${dModel} (= d_in)`,
      hint: 'a transcoder between spaces of different width is not an autoencoder',
    });
  }
  const table = await openSafetensors(folder, weightsFile);
  const metadata = fieldsOf(file, cfg.object('metadata'), 'metadata.');
  const warnings: string[] = [];
  const weights = await readWeights(table, architecture, dModel, nLatents);
  const { activation, inferenceThreshold } = await readActivation(cfg, architecture, table, nLatents);
  await refuseScalingFactor(table);
  table.finish();
  const norm = await readNormalization(folder, cfg, dModel, warnings);
  const transcoder = architecture.endsWith('transcoder');
  if (transcoder)
    warnings.push('a transcoder: its output is that of another hook point, not a reconstruction');
  const prefixes = readPrefixes(cfg, metadata, nLatents);
  const training = readTraining(metadata);
  return {
    format: 'saelens',
    architecture,
    file: table.file,
    dModel,
    nLatents,
    activation,
    applyBDecToInput: !transcoder && cfg.boolean('apply_b_dec_to_input', true),
    weights: { ...weights, ...norm.whitening },
    ...(table.has('log_threshold') ? { logThreshold: true } : {}),
    ...(inferenceThreshold === undefined ? {} : { inferenceThreshold }),
    ...(norm.inputScale === undefined ? {} : { inputScale: norm.inputScale }),
    scaleByDecoderNorm:
      activation.kind === 'topk' || activation.kind === 'batchtopk'
        ? cfg.boolean('rescale_acts_by_decoder_norm', architecture !== 'topk')
        : false,
    preprocessing: norm.preprocessing,
    ...(prefixes ? { prefixes } : {}),
    ...(training ? { training } : {}),
    metadata: metadata.raw,
    warnings,
  };
}

/** Configurations from before 6.0 (`handle_pre_6_0_config`): other names, defaults, and metadata at the top level. */
function modernise(file: string, json: JsonObject): JsonObject {
  const metadata = fieldsOf(file, json).object('metadata');
  const version = json.sae_lens_version ?? metadata.sae_lens_version;
  if (typeof version === 'string' && Number.parseInt(version, 10) >= 6) return json;
  const renamed: JsonObject = { ...json };
  const kwargs = fieldsOf(file, json).object('activation_fn_kwargs');
  const fn = json.activation_fn ?? json.activation_fn_str;
  if (fn === 'topk' && kwargs.k !== undefined) Object.assign(renamed, { architecture: 'topk', k: kwargs.k });
  renamed.architecture ??= 'standard';
  const normalize = json.normalize_activations ?? 'none';
  renamed.normalize_activations =
    typeof normalize === 'boolean' ? (normalize ? 'expected_average_only_in' : 'none') : normalize;
  const hook = json.hook_name ?? json.hook_point;
  renamed.reshape_activations ??= typeof hook === 'string' && hook.includes('hook_z') ? 'hook_z' : 'none';
  const kept = [
    'model_name',
    'hook_head_index',
    'context_size',
    'prepend_bos',
    'dataset_path',
    'neuronpedia_id',
  ];
  const moved = kept.filter((key) => key in json).map((key) => [key, json[key]]);
  renamed.metadata = { ...Object.fromEntries(moved), ...(hook ? { hook_name: hook } : {}), ...metadata };
  return renamed;
}

function readArchitecture(cfg: Fields): Architecture {
  const found = cfg.raw.architecture;
  if (typeof found === 'string' && inexpressible.includes(found)) {
    throw formatError({
      file: cfg.file,
      field: 'architecture',
      found: show(found),
      expected: `one of ${architectures.join(', ')}`,
      hint: 'its encoder is not one linear map with a thresholding activation, so it has no equivalent here',
    });
  }
  return cfg.choice('architecture', architectures);
}

async function readWeights(
  table: TensorTable,
  architecture: Architecture,
  d: number,
  n: number,
): Promise<Checkpoint['weights']> {
  const common = {
    W_enc: table.matrix('W_enc', [d, n]),
    W_dec: table.matrix('W_dec', [n, d]),
    b_dec: table.vector('b_dec', d),
  };
  if (architecture === 'gated') {
    const gated = {
      r_mag: table.vector('r_mag', n),
      b_gate: table.vector('b_gate', n),
      b_mag: table.vector('b_mag', n),
    };
    return { ...common, gated };
  }
  const threshold = architecture.startsWith('jumprelu')
    ? { threshold: table.vector(table.has('log_threshold') ? 'log_threshold' : 'threshold', n) }
    : {};
  const skip = architecture.includes('skip')
    ? { skip: table.matrix('W_skip', [d, d], { transpose: true }) }
    : {};
  return { ...common, b_enc: table.vector('b_enc', n), ...threshold, ...skip };
}

async function readActivation(
  cfg: Fields,
  architecture: Architecture,
  table: TensorTable,
  n: number,
): Promise<{ activation: Activation; inferenceThreshold?: number | null }> {
  if (architecture === 'topk') return { activation: topK(cfg.integer('k')) };
  if (architecture === 'batchtopk' || architecture === 'matryoshka_batchtopk') {
    const k = cfg.number('k'); // an average, so it may be a fraction
    if (k <= 0 || k > n) {
      throw formatError({ file: cfg.file, field: 'k', found: show(k), expected: `between 0 and ${n}` });
    }
    return { activation: batchTopK(k), inferenceThreshold: await table.scalar('topk_threshold') };
  }
  if (architecture.startsWith('jumprelu')) {
    const bandwidth = cfg.number('jumprelu_bandwidth', { default: 0.05 });
    return { activation: jumpRelu({ threshold: 0, bandwidth }) };
  }
  if (architecture === 'gated') return { activation: jumpRelu({ threshold: 0 }) };
  return { activation: relu() };
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

interface Normalization {
  preprocessing: Preprocessing;
  inputScale?: number;
  whitening?: Pick<Checkpoint['weights'], 'whitening'>;
}

/** A checkpoint's constants lie beside it (activation_scaler.json, activation_whitening.safetensors). */
async function readNormalization(
  folder: Folder,
  cfg: Fields,
  d: number,
  warnings: string[],
): Promise<Normalization> {
  const normalize = cfg.choice('normalize_activations', normalizations, 'none');
  const reshape = cfg.choice('reshape_activations', ['none', 'hook_z'] as const, 'none');
  if (normalize !== 'expected_average_only_in' && normalize !== 'covariance_whitening') {
    return { preprocessing: { normalize, reshape } };
  }
  const json = await readJson(folder, 'activation_scaler.json');
  const scaler = json ? fieldsOf(`${folder.name}/activation_scaler.json`, json) : undefined;
  if (scaler?.has('scaling_factor')) {
    const inputScale = positive(scaler, 'scaling_factor');
    return { preprocessing: { normalize: 'none', reshape }, inputScale };
  }
  if (normalize === 'covariance_whitening' && scaler?.boolean('has_whitening', true)) {
    const table = await openSafetensors(folder, 'activation_whitening.safetensors');
    const whitening = {
      mean: table.vector('mean', d),
      matrix: table.matrix('matrix', [d, d]),
      inverse: table.matrix('inverse_matrix', [d, d]),
    };
    return { preprocessing: { normalize: 'none', reshape }, whitening: { whitening } };
  }
  warnings.push(
    `normalisation not folded: it was trained with ${normalize}, whose constants are not beside the weights; ` +
      'give it activations so normalised, or load with { inputScale }',
  );
  return { preprocessing: { normalize, reshape } };
}

function positive(fields: Fields, name: string): number {
  const value = fields.number(name);
  if (value <= 0) throw formatError({ file: fields.file, field: name, found: show(value), expected: '> 0' });
  return value;
}

function readPrefixes(cfg: Fields, metadata: Fields, n: number): Prefixed | undefined {
  const own = ownPrefixes(ownFields(metadata), n);
  if (own) return own;
  const details = fieldsOf(cfg.file, metadata.object('training_architecture_details'));
  const widths = cfg.integers('matryoshka_widths') ?? details.integers('matryoshka_widths');
  return widths?.length ? checkPrefixes(cfg.file, 'matryoshka_widths', widths, undefined, n) : undefined;
}

function readTraining(metadata: Fields): TrainingRecord | undefined {
  const own = ownTraining(ownFields(metadata));
  if (!metadata.has('training_architecture')) return own;
  const architecture = metadata.string('training_architecture');
  const details = metadata.object('training_architecture_details');
  return { architecture, details: { ...details, ...own?.details } };
}
