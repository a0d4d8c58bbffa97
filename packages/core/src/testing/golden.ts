/**
 * Golden cases: inputs and float64 expectations of the Matryoshka loss, made by automatic differentiation elsewhere. The
 * runner goes through the public API only; a backend is right when every case of a file passes on it.
 */
import { check, optionRows, type Schema } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { type Activation, activationSchema } from '../activations/table.ts';
import { backendTraits } from '../backendTraits.ts';
import { matryoshkaStep } from '../loss/dense.ts';
import { disposeStep, readMetrics } from '../loss/metrics.ts';
import type { MatryoshkaStep, StepOptions } from '../loss/step.ts';
import { encode } from '../model/encode.ts';
import { type Sae, saeFromWeights } from '../model/sae.ts';
import { type Penalty, penaltySchema } from '../penalties/table.ts';
import { flatten, worstError } from './allClose.ts';

/** One case of a golden file, as written by its generator. */
export interface GoldenCase {
  name: string;
  d_model: number;
  n_latents: number;
  batch: number;
  prefixes: number[];
  prefix_weights: number[];
  decoder_prefix_weights: number[] | null;
  activation: Activation['kind'];
  k: number | null;
  threshold: number | null;
  sparsity: Penalty['kind'];
  epsilon: number;
  lambda_: number;
  x: number[][];
  W_enc: number[][];
  b_enc: number[];
  W_dec: number[][];
  b_dec: number[];
  activations: number[][];
  prefix_recon: number[];
  prefix_sparsity: number[];
  loss: number;
  grad_W_enc: number[][];
  grad_b_enc: number[];
  grad_W_dec: number[][];
  grad_b_dec: number[];
}

/** The worst errors of a case, each relative to its own largest magnitude. */
export interface GoldenResult {
  name: string;
  errors: Record<
    | 'loss'
    | 'prefix_recon'
    | 'prefix_sparsity'
    | 'activations'
    | 'grad_W_enc'
    | 'grad_b_enc'
    | 'grad_W_dec'
    | 'grad_b_dec',
    number
  >;
  worst: number;
  /** Tensors that the case left behind; anything but 0 is a leak. */
  leaked: number;
}

/** Any function with the signature of `matryoshkaStep`. */
export type StepFunction = (
  sae: Sae,
  x: tf.Tensor2D,
  options: StepOptions,
) => MatryoshkaStep | Promise<MatryoshkaStep>;

/** The tolerance of the golden suite on a backend. */
export function goldenTolerance(backend: string = tf.getBackend()): number {
  return backendTraits(backend).tolerance;
}

/**
 * Checks that a parsed JSON value is a list of golden cases.
 *
 * @throws TypeError that names the file, the case and the missing field.
 */
export function parseGolden(json: unknown, file: string): GoldenCase[] {
  if (!Array.isArray(json) || json.length === 0)
    throw new TypeError(`${file}: expected a list of golden cases`);
  const fields = [
    'name',
    'd_model',
    'n_latents',
    'prefixes',
    'prefix_weights',
    'activation',
    'sparsity',
    'x',
    'W_enc',
    'b_enc',
  ];
  const more = [
    'W_dec',
    'b_dec',
    'activations',
    'prefix_recon',
    'loss',
    'grad_W_enc',
    'grad_b_enc',
    'grad_W_dec',
    'grad_b_dec',
  ];
  json.forEach((entry: unknown, i) => {
    const missing = [...fields, ...more].find(
      (field) => !entry || typeof entry !== 'object' || !(field in entry),
    );
    if (missing) throw new TypeError(`${file}: case ${i} has no field "${missing}"`);
  });
  return json as GoldenCase[];
}

/** Runs one case on the current backend; `step` defaults to the dense `matryoshkaStep`. */
export async function runGoldenCase(
  golden: GoldenCase,
  step: StepFunction = matryoshkaStep,
): Promise<GoldenResult> {
  const before = tf.memory().numTensors;
  const sae = goldenSae(golden);
  const x = tf.tensor2d(golden.x);
  const result = await step(sae, x, {
    prefixes: { lengths: golden.prefixes, weights: golden.prefix_weights },
    ...(golden.decoder_prefix_weights && { decoderPrefixWeights: golden.decoder_prefix_weights }),
    penaltyCoefficient: golden.lambda_,
  });
  const metrics = await readMetrics(result, { sae, x });
  const f = encode(sae, x, { training: true });
  const grads = result.grads;
  const errors: GoldenResult['errors'] = {
    loss: worstError(metrics.loss, golden.loss),
    prefix_recon: worstError(
      metrics.prefixes.map((p) => p.recon),
      golden.prefix_recon,
    ),
    prefix_sparsity: worstError(
      metrics.prefixes.map((p) => p.sparsity),
      golden.prefix_sparsity,
    ),
    activations: worstError(await f.data(), golden.activations),
    grad_W_enc: worstError(await grads.W_enc.data(), golden.grad_W_enc),
    grad_b_enc: worstError(await grads.b_enc.data(), golden.grad_b_enc),
    grad_W_dec: worstError(await grads.W_dec.data(), golden.grad_W_dec),
    grad_b_dec: worstError(await grads.b_dec.data(), golden.grad_b_dec),
  };
  disposeStep(result);
  tf.dispose([x, f]);
  sae.dispose();
  const worst = Math.max(...Object.values(errors));
  return { name: golden.name, errors, worst, leaked: tf.memory().numTensors - before };
}

/** The SAE of a golden case, on the current backend. */
export function goldenSae(golden: GoldenCase): Sae {
  const activation = goldenActivation(golden);
  const penalty = goldenPenalty(golden);
  return saeFromWeights(
    { dModel: golden.d_model, nLatents: golden.n_latents, activation, penalty, applyBDecToInput: false },
    { W_enc: flatten(golden.W_enc), b_enc: golden.b_enc, W_dec: flatten(golden.W_dec), b_dec: golden.b_dec },
  );
}

function goldenActivation({ activation: kind, k, threshold }: GoldenCase): Activation {
  return fromFields(activationSchema, kind, { k: k ?? 0, threshold: threshold ?? 0, bandwidth: 0.001 });
}

function goldenPenalty({ sparsity: kind, epsilon }: GoldenCase): Penalty {
  return fromFields(penaltySchema, kind, { epsilon });
}

/** A variant's options out of fields that other kinds may have. */
function fromFields<T extends { kind: string }>(schema: Schema<T>, kind: string, fields: object): T {
  const own = optionRows(schema).map(({ path }) => path);
  const given = Object.entries(fields).filter(([name]) => own.includes(`[${kind}].${name}`));
  return check(schema, { kind, ...Object.fromEntries(given) }, 'golden case');
}
