/**
 * A sparse autoencoder as one whole thing: from raw activations to raw reconstructions. Its weights, the transform between them
 * and the model's activations, the threshold of inference, the prefixes it was trained with, and where it comes from.
 */
import { check, choice, flag, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { relu } from '../activations/relu.ts';
import {
  type Activation,
  activationSchema,
  activationTraits,
  checkActivation,
} from '../activations/table.ts';
import { checkFiniteArray, checkFits, checkTensor } from '../checks.ts';
import { none } from '../penalties/none.ts';
import { checkPenalty, type Penalty, penaltySchema } from '../penalties/table.ts';
import { checkTransform, dependsOnRow, type Transform } from '../transforms/table.ts';
import { type Init, initialMatrices, inits } from './init.ts';
import { checkSite, type Site } from './site.ts';

/** What an SAE is, besides its weights. Plain data. */
export interface SaeConfig {
  /** What the encoder reads. */
  readonly input: Site;
  /** What the decoder writes, where that is another site (a transcoder); absent for an autoencoder. */
  readonly output?: Site;
  /** N, the number of latents. */
  readonly nLatents: number;
  readonly activation: Activation;
  readonly penalty: Penalty;
  /** Whether the encoder sees z − b_dec (most peers) or z (the write-up's reference code). Autoencoders only. */
  readonly applyBDecToInput: boolean;
}

/** The trainable tensors, in the orientation of the field: `x W_enc` and `f W_dec`. */
export interface SaeParams {
  /** [d, N] */
  readonly W_enc: tf.Variable<tf.Rank.R2>;
  /** [N] */
  readonly b_enc: tf.Variable<tf.Rank.R1>;
  /** [N, d_out]; row i is the direction of latent i. */
  readonly W_dec: tf.Variable<tf.Rank.R2>;
  /** [d_out] */
  readonly b_dec: tf.Variable<tf.Rank.R1>;
  /** [N], θ, only where the activation learns thresholds. */
  readonly threshold?: tf.Variable<tf.Rank.R1>;
}

export type ParamName = keyof SaeParams;

/** How it was trained, where that is known: plain JSON. */
export interface TrainingRecord {
  readonly architecture: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Where an SAE comes from, and what to know about it. Plain JSON, written with it and read back. */
export interface SaeRecord {
  readonly training: TrainingRecord | null;
  /** The model, the hook, the data: free. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The format it was read from and that format's name for it; null for one made here. */
  readonly source: { readonly format: string; readonly architecture: string } | null;
  /** What to beware of, one sentence each. */
  readonly warnings: readonly string[];
}

/** Prefix lengths of a training run, the last one N, and their weights; of a random scheme its expectation or a name. */
export interface PrefixRecord {
  readonly lengths: readonly number[];
  readonly weights: readonly number[];
}

/** A sparse autoencoder. Everything takes and gives raw activations. Dispose it when done. */
export interface Sae {
  readonly config: SaeConfig;
  readonly params: SaeParams;
  /** Between the model's activations and what the weights see: learnt in training (the normaliser) or read from a file. */
  transform: { readonly input: Transform; readonly output: Transform };
  /** [d, d_out]: y += x·skip, on raw activations; null without a skip connection. Held constant by the loss. */
  readonly skip: tf.Tensor2D | null;
  /** What inference keeps pre-activations above, where the activation needs it (batchtopk); null until training has set it. */
  inferenceThreshold: number | null;
  /** The prefixes it was trained with; null where unknown. */
  prefixes: PrefixRecord | null;
  record: SaeRecord;
  /** Frees the parameters and the skip matrix. */
  dispose(): void;
}

/** What an SAE may be given besides config and weights. */
export interface SaeState {
  transform?: { input?: Transform; output?: Transform };
  skip?: Float32Array | readonly number[] | tf.Tensor | null;
  inferenceThreshold?: number | null;
  prefixes?: PrefixRecord | null;
  record?: Partial<SaeRecord>;
  /** Weights given as tensors become the SAE's own instead of being copied. Default false. */
  adopt?: boolean;
}

/** Options of {@link createSae}. Give `dModel` for an autoencoder, or `input` and `output`. */
export interface SaeOptions {
  /** d, the width of the activations it explains. */
  dModel?: number;
  /** Instead of dModel: the site it reads, by its width or in full. */
  input?: Site | number;
  /** The site it writes, where that is another one (a transcoder). */
  output?: Site | number;
  nLatents: number;
  /** Default relu. */
  activation?: Activation;
  /** Default none. */
  penalty?: Penalty;
  /** Default false, as in the reference code. */
  applyBDecToInput?: boolean;
  /** Default 0. One seed gives the same weights on every backend. */
  seed?: number;
  /**
   * `reference` (default): W_enc ~ N(0, 1/d), W_dec = 0.1 · unit columns of W_enc, transposed.
   * `tied`: unit random directions, W_dec = 0.1 · them, W_enc = W_decᵀ. `unit-norm`: W_dec = unit directions, W_enc = W_decᵀ.
   * Where input and output differ in width, W_dec has directions of its own.
   */
  init?: Init;
}

/** The options of an SAE that do not depend on the data: for checks, flags and tables. */
export const saeOptionsSchema: Schema<Omit<SaeOptions, 'dModel' | 'input' | 'output'>> = object<
  Omit<SaeOptions, 'dModel' | 'input' | 'output'>
>({
  nLatents: whole({ min: 1, help: 'number of latents' }),
  activation: optional(activationSchema),
  penalty: optional(penaltySchema),
  applyBDecToInput: optional(flag({ help: 'the encoder sees x − b_dec' })),
  seed: optional(whole({ help: 'seed of the first weights' })),
  init: optional(choice(inits, { help: 'first weights' })),
});

/** Weights as flat row-major arrays or as tensors (which are copied). */
export type SaeWeights = {
  readonly [name in Exclude<ParamName, 'threshold'>]: Float32Array | readonly number[] | tf.Tensor;
} & { readonly threshold?: Float32Array | readonly number[] | tf.Tensor };

/**
 * Makes an SAE with seeded initial weights on the current backend.
 *
 * @throws MsaeError `option` for impossible or unknown options, k above N, or a matrix too large for the device.
 */
export function createSae(options: SaeOptions): Sae {
  const { dModel, input, output, ...rest } = options;
  const {
    nLatents,
    activation,
    penalty,
    applyBDecToInput,
    seed = 0,
    init = 'reference',
  } = check(saeOptionsSchema, rest, 'createSae');
  if ((dModel === undefined) === (input === undefined)) {
    throw msaeError('option', 'createSae: give either dModel, or input (and output, for a transcoder)');
  }
  const config = checkConfig({
    ...(dModel === undefined ? { input: siteOf(input!) } : { dModel }),
    ...(output !== undefined && { output: siteOf(output) }),
    nLatents,
    activation: activation ?? relu(),
    penalty: penalty ?? none(),
    applyBDecToInput: applyBDecToInput ?? false,
  });
  const [d, e] = [config.input.width, outputSite(config).width];
  const { W_enc, W_dec } = initialMatrices({ d, e, nLatents, tied: isAutoencoder(config) }, seed, init);
  return saeFromWeights(config, {
    W_enc,
    b_enc: new Float32Array(nLatents),
    W_dec,
    b_dec: new Float32Array(e),
  });
}

function siteOf(site: Site | number): Site {
  return typeof site === 'number' ? { width: site } : site;
}

/** Does it explain what it reads? */
export function isAutoencoder(config: SaeConfig): boolean {
  return config.output === undefined;
}

/** What the decoder writes. */
export function outputSite(config: SaeConfig): Site {
  return config.output ?? config.input;
}

/** A configuration, in which `dModel` may stand for the input site and defaults may be left out. */
export type SaeConfigInput = Omit<SaeConfig, 'input' | 'penalty' | 'applyBDecToInput'> &
  Partial<Pick<SaeConfig, 'input' | 'penalty' | 'applyBDecToInput'>> & { readonly dModel?: number };

/**
 * Makes an SAE from existing weights: `W_enc` [d, N], `b_enc` [N], `W_dec` [N, d_out], `b_dec` [d_out], and `threshold` [N] where
 * the activation learns thresholds (its initial threshold where absent). Tensors are copied and stay the caller's.
 *
 * @throws MsaeError `shape` for a wrong shape or length, `value` for one that is not finite (arrays only), `option` else.
 */
export function saeFromWeights(config: SaeConfigInput, weights: SaeWeights, state: SaeState = {}): Sae {
  const checked = checkConfig(config);
  const { input, nLatents: N, activation } = checked;
  const output = outputSite(checked);
  const shapes: Record<ParamName, number[]> = {
    W_enc: [input.width, N],
    b_enc: [N],
    W_dec: [N, output.width],
    b_dec: [output.width],
    threshold: [N],
  };
  checkFits('W_enc', shapes.W_enc);
  checkFits('W_dec', shapes.W_dec);
  const learns = activationTraits(activation).learnsThreshold;
  if (learns === undefined && weights.threshold !== undefined) {
    throw msaeError('option', `threshold: an SAE with activation ${activation.kind} learns no thresholds`);
  }
  const threshold = learns && (weights.threshold ?? new Float32Array(N).fill(learns.initial));
  const given = { ...weights, ...(threshold && { threshold }) };
  const names: ParamName[] = ['W_enc', 'b_enc', 'W_dec', 'b_dec'];
  if (threshold) names.push('threshold');
  const transform = checkedTransform(checked, state.transform);
  const params: Partial<Record<ParamName, tf.Variable>> = {};
  let skip: tf.Tensor2D | null = null;
  try {
    for (const name of names) params[name] = variable(name, given[name], shapes[name], state.adopt);
    if (state.skip) {
      const made = variable('skip', state.skip, [input.width, output.width]);
      skip = tf.keep(tf.clone(made)) as tf.Tensor2D;
      made.dispose();
    }
  } catch (error) {
    for (const made of Object.values(params)) made.dispose();
    throw error;
  }
  return {
    config: checked,
    params: params as SaeParams,
    transform,
    skip,
    inferenceThreshold: state.inferenceThreshold ?? null,
    prefixes: state.prefixes ?? null,
    record: { training: null, metadata: {}, source: null, warnings: [], ...state.record },
    dispose: () => {
      for (const made of Object.values(params)) made.dispose();
      skip?.dispose();
    },
  };
}

function checkedTransform(
  config: SaeConfig,
  { input = [], output }: NonNullable<SaeState['transform']> = {},
): Sae['transform'] {
  const read = checkTransform(input, config.input.width, 'transform');
  if (!isAutoencoder(config)) {
    const write = checkTransform(output ?? [], outputSite(config).width, 'transform of the output');
    if (dependsOnRow(write)) {
      throw msaeError(
        'unsupported',
        `transform of the output: ${write.map(({ kind }) => kind).join(', ')} depends on rows that only an autoencoder knows`,
      );
    }
    return { input: read, output: write };
  }
  if (output !== undefined && output !== input) {
    throw msaeError(
      'option',
      'transform: an autoencoder writes what it reads; give its transform as `input` alone',
    );
  }
  return { input: read, output: read };
}

function variable(name: string, value: SaeWeights[ParamName], shape: number[], adopt = false): tf.Variable {
  const says = `[${shape.join(', ')}]`;
  if (value === undefined) throw msaeError('shape', `${name}: missing; expected ${says}`);
  if (value instanceof tf.Tensor) {
    checkTensor(name, value, shape, says);
    if (!adopt) return tf.tidy(() => tf.variable(tf.add(value, 0)));
    const made = tf.variable(value);
    value.dispose();
    return made;
  }
  const values = value instanceof Float32Array ? value : Float32Array.from(value);
  checkFiniteArray(
    `${name} ${says}`,
    values,
    shape.reduce((product, size) => product * size, 1),
  );
  return tf.tidy(() => tf.variable(tf.tensor(values, shape, 'float32')));
}

/** The configuration with its sites spelt out. @throws MsaeError `option` unless everything in it makes sense. */
export function checkConfig(config: SaeConfigInput): SaeConfig {
  const {
    dModel,
    input,
    output,
    nLatents,
    activation,
    penalty,
    applyBDecToInput = false,
    ...unknown
  } = config;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw msaeError('option', `sae: there is no option ${extra}`);
  check(whole({ min: 1 }), nLatents, 'sae: nLatents');
  if ((dModel === undefined) === (input === undefined)) {
    throw msaeError('option', 'sae: either dModel or input has to say what it reads');
  }
  const read =
    dModel === undefined
      ? checkSite(input!, 'sae: input')
      : { width: check(whole({ min: 1 }), dModel, 'sae: dModel') };
  const write = output === undefined ? undefined : checkSite(output, 'sae: output');
  if (applyBDecToInput && write !== undefined) {
    throw msaeError('option', 'sae: applyBDecToInput: only an autoencoder can subtract b_dec from its input');
  }
  return {
    input: read,
    ...(write && { output: write }),
    nLatents,
    activation: checkActivation(activation, nLatents),
    penalty: checkPenalty(penalty ?? none()),
    applyBDecToInput,
  };
}
