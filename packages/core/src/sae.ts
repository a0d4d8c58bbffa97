/** The parameters of a sparse autoencoder, how they are made, and the little that is not a tensor. */
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { type Activation, checkActivation, relu } from './activation.ts';
import { checkFiniteArray, checkFits, checkTensor } from './checks.ts';
import { checkPenalty, none, type Penalty } from './penalty.ts';

/** What an SAE is, besides its weights. Plain data. */
export interface SaeConfig {
  /** d, the width of the activations it explains. */
  readonly dModel: number;
  /** N, the number of latents. */
  readonly nLatents: number;
  readonly activation: Activation;
  readonly penalty: Penalty;
  /** Whether the encoder sees x − b_dec (most peers) or x (the write-up's reference code). */
  readonly applyBDecToInput: boolean;
}

/** The trainable tensors, in the orientation of the field: `x W_enc` and `f W_dec`. */
export interface SaeParams {
  /** [d, N] */
  readonly W_enc: tf.Variable<tf.Rank.R2>;
  /** [N] */
  readonly b_enc: tf.Variable<tf.Rank.R1>;
  /** [N, d]; row i is the direction of latent i. */
  readonly W_dec: tf.Variable<tf.Rank.R2>;
  /** [d] */
  readonly b_dec: tf.Variable<tf.Rank.R1>;
  /** [N], only with the jumprelu activation: θ. */
  readonly threshold?: tf.Variable<tf.Rank.R1>;
}

export type ParamName = keyof SaeParams;

/** A sparse autoencoder: config, parameters, and the inference threshold of batchtopk. Dispose it when done. */
export interface Sae {
  readonly config: SaeConfig;
  readonly params: SaeParams;
  /** batchtopk in inference keeps pre-activations above this; null until training has set it. */
  inferenceThreshold: number | null;
  /** Frees the parameters. */
  dispose(): void;
}

/** Options of {@link createSae}. */
export interface SaeOptions {
  dModel: number;
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
   */
  init?: 'reference' | 'tied' | 'unit-norm';
}

/** Weights as flat row-major arrays or as tensors (which are copied). */
export type SaeWeights = {
  readonly [name in Exclude<ParamName, 'threshold'>]: Float32Array | readonly number[] | tf.Tensor;
} & { readonly threshold?: Float32Array | readonly number[] | tf.Tensor };

/**
 * Makes an SAE with seeded initial weights on the current backend.
 *
 * @throws RangeError for impossible sizes, k above N, or a matrix too large for the device.
 */
export function createSae({
  dModel,
  nLatents,
  activation = relu(),
  penalty = none(),
  applyBDecToInput = false,
  seed = 0,
  init = 'reference',
}: SaeOptions): Sae {
  const config = checkConfig({ dModel, nLatents, activation, penalty, applyBDecToInput });
  const { W_enc, W_dec } = initialMatrices(dModel, nLatents, seed, init);
  const b_enc = new Float32Array(nLatents);
  const b_dec = new Float32Array(dModel);
  return saeFromWeights(config, { W_enc, b_enc, W_dec, b_dec });
}

/**
 * Makes an SAE from existing weights: `W_enc` [d, N], `b_enc` [N], `W_dec` [N, d], `b_dec` [d], and `threshold` [N] under
 * jumprelu (its config's initial threshold where absent). Tensors are copied and stay the caller's.
 *
 * @throws RangeError for a wrong shape or length, or a value that is not finite (arrays only).
 */
export function saeFromWeights(config: SaeConfig, weights: SaeWeights): Sae {
  checkConfig(config);
  const { dModel: d, nLatents: N, activation } = config;
  const shapes: Record<ParamName, number[]> = {
    W_enc: [d, N],
    b_enc: [N],
    W_dec: [N, d],
    b_dec: [d],
    threshold: [N],
  };
  checkFits('W_enc', shapes.W_enc);
  const threshold =
    activation.kind === 'jumprelu'
      ? (weights.threshold ?? new Float32Array(N).fill(activation.threshold))
      : undefined;
  if (activation.kind !== 'jumprelu' && weights.threshold !== undefined) {
    throw new RangeError(
      `threshold: only a jumprelu SAE has thresholds, this one's activation is ${activation.kind}`,
    );
  }
  const given = { ...weights, ...(threshold && { threshold }) };
  const params: Partial<Record<ParamName, tf.Variable>> = {};
  try {
    for (const name of [
      'W_enc',
      'b_enc',
      'W_dec',
      'b_dec',
      ...(threshold ? ['threshold' as const] : []),
    ] as ParamName[]) {
      params[name] = variable(name, given[name], shapes[name]);
    }
  } catch (error) {
    for (const made of Object.values(params)) made.dispose();
    throw error;
  }
  return {
    config,
    params: params as unknown as SaeParams,
    inferenceThreshold: null,
    dispose: () => {
      for (const made of Object.values(params)) made.dispose();
    },
  };
}

function variable(name: ParamName, value: SaeWeights[ParamName], shape: number[]): tf.Variable {
  const says = `[${shape.join(', ')}]`;
  if (value === undefined) throw new RangeError(`${name}: missing; expected ${says}`);
  if (value instanceof tf.Tensor) {
    checkTensor(name, value, shape, says);
    return tf.tidy(() => tf.variable(tf.add(value, 0)));
  }
  const values = value instanceof Float32Array ? value : Float32Array.from(value);
  checkFiniteArray(
    `${name} ${says}`,
    values,
    shape.reduce((product, size) => product * size, 1),
  );
  return tf.tidy(() => tf.variable(tf.tensor(values, shape, 'float32')));
}

/** @throws RangeError unless the sizes are integers of at least 1 and activation and penalty make sense. */
export function checkConfig(config: SaeConfig): SaeConfig {
  for (const name of ['dModel', 'nLatents'] as const) {
    if (!Number.isSafeInteger(config[name]) || config[name] < 1) {
      throw new RangeError(`sae: ${name} must be an integer of at least 1, got ${config[name]}`);
    }
  }
  checkActivation(config.activation, config.nLatents);
  checkPenalty(config.penalty);
  return config;
}

function initialMatrices(
  d: number,
  N: number,
  seed: number,
  init: NonNullable<SaeOptions['init']>,
): { W_enc: Float32Array; W_dec: Float32Array } {
  if (!['reference', 'tied', 'unit-norm'].includes(init)) {
    throw new RangeError(`createSae: init must be reference, tied or unit-norm, got ${JSON.stringify(init)}`);
  }
  const rng = createRng(seed);
  const W_enc = new Float32Array(d * N);
  const W_dec = new Float32Array(N * d);
  for (let i = 0; i < N; i++) {
    const row = W_dec.subarray(i * d, (i + 1) * d);
    let sum = 0;
    for (let c = 0; c < d; c++) {
      row[c] = rng.normal();
      sum += row[c]! ** 2;
    }
    const norm = Math.sqrt(sum) || 1;
    const encoderScale = init === 'reference' ? 1 / Math.sqrt(d) : (init === 'tied' ? 0.1 : 1) / norm;
    const decoderScale = (init === 'unit-norm' ? 1 : 0.1) / norm;
    for (let c = 0; c < d; c++) {
      W_enc[c * N + i] = row[c]! * encoderScale;
      row[c] = row[c]! * decoderScale;
    }
  }
  return { W_enc, W_dec };
}
