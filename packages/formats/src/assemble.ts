/**
 * From a described checkpoint to a core SAE on the current tfjs backend. One tensor at a time is read, scaled in
 * place and handed over, so at no moment is there a second full copy of the weights.
 *
 * Constant factors are folded: W_enc·s, W_dec/s, b_dec/s for an input scale s; W_enc·n, b_enc·n, W_dec/n for decoder
 * norms n. A gated SAE becomes a jumprelu one, which is exact because its two encoders share W_enc: with
 * r = exp(r_mag), relu(r·xW + b_mag)·[xW + b_gate > 0] = p·[p > max(b_mag − r·b_gate, 0)], p = r·xW + b_mag.
 */
import { decode, encode, maxTensorBytes, none, type Sae, type SaeConfig } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Checkpoint, FormatName, Prefixed, TrainingRecord, WeightRef } from './checkpoint.ts';
import { formatError } from './formatError.ts';
import { type Preprocessing, preprocess } from './preprocess.ts';
import { readTensor } from './storedTensor.ts';

/** An SAE out of a file, with what the file says around it. */
export interface LoadedSae {
  /** For `encode` and `decode` of @msae/core, on activations that `preprocess` has prepared. */
  readonly sae: Sae;
  readonly preprocessing: Preprocessing;
  /** [d, d] of transcoders with a linear path beside the latents: added to the output as x·skip. */
  readonly skip: tf.Tensor2D | null;
  readonly format: FormatName;
  /** The format's own name for it, e.g. `gated` for what runs here as jumprelu. */
  readonly architecture: string;
  readonly prefixes: Prefixed | null;
  readonly training: TrainingRecord | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
  /** x [B, d], raw → latents f [B, N]. */
  encode(x: tf.Tensor): tf.Tensor2D;
  /** x [B, d], raw → its reconstruction [B, d] at the scale of x. */
  reconstruct(x: tf.Tensor): tf.Tensor2D;
  dispose(): void;
}

type Params = Partial<Record<'W_enc' | 'b_enc' | 'W_dec' | 'b_dec' | 'threshold', tf.Variable>>;

/** Reads the weights. @throws a format error for values that are not finite. */
export async function assemble(checkpoint: Checkpoint, signal?: AbortSignal): Promise<LoadedSae> {
  checkFits(checkpoint);
  const params: Params = {};
  let skip: tf.Tensor2D | null = null;
  try {
    await fillParams(checkpoint, params, signal);
    await foldWhitening(checkpoint, params, signal);
    if (checkpoint.weights.skip) {
      const values = await read(checkpoint, checkpoint.weights.skip, signal);
      skip = tf.tensor2d(values, [checkpoint.dModel, checkpoint.dModel]);
    }
  } catch (error) {
    for (const made of Object.values(params)) made.dispose();
    throw error;
  }
  return loaded(checkpoint, params, skip);
}

async function fillParams(checkpoint: Checkpoint, params: Params, signal?: AbortSignal): Promise<void> {
  const { weights, dModel: d, nLatents: n, inputScale = 1, encoderScale = 1 } = checkpoint;
  const W_dec = await read(checkpoint, weights.W_dec, signal);
  scale(W_dec, 1 / (inputScale * encoderScale));
  const gain = new Float32Array(n).fill(inputScale * encoderScale); // of the columns of W_enc
  const norms = checkpoint.scaleByDecoderNorm ? takeNorms(W_dec, n, d) : undefined;
  if (norms) for (let i = 0; i < n; i++) gain[i]! *= norms[i]!;
  keep(params, 'W_dec', W_dec, [n, d]);

  const { gated } = weights;
  const ratio = gated ? (await read(checkpoint, gated.r_mag, signal)).map(Math.exp) : undefined;
  if (ratio) for (let i = 0; i < n; i++) gain[i]! *= ratio[i]!;
  if (!gain.every(Number.isFinite)) {
    throw formatError({
      file: checkpoint.file,
      field: gated ? 'tensor r_mag' : 'tensor W_dec',
      found: 'a factor beyond the range of float32',
      expected: 'finite gains of the latents',
    });
  }
  const W_enc = await read(checkpoint, weights.W_enc, signal);
  for (let row = 0, at = 0; row < d; row++) for (let i = 0; i < n; i++, at++) W_enc[at]! *= gain[i]!;
  keep(params, 'W_enc', W_enc, [d, n]);

  const bias = gated?.b_mag ?? weights.b_enc;
  const b_enc = bias ? await read(checkpoint, bias, signal) : new Float32Array(n);
  let threshold: Float32Array | undefined;
  if (gated && ratio) {
    const b_gate = await read(checkpoint, gated.b_gate, signal);
    threshold = b_enc.map((b, i) => b - ratio[i]! * b_gate[i]!);
  } else if (weights.threshold) {
    threshold = await read(checkpoint, weights.threshold, signal);
    if (checkpoint.logThreshold) threshold = threshold.map(Math.exp);
  } else if (checkpoint.activation.kind === 'jumprelu') {
    threshold = new Float32Array(n).fill(checkpoint.uniformThreshold ?? 0);
  }
  if (norms) for (let i = 0; i < n; i++) b_enc[i]! *= norms[i]!;
  keep(params, 'b_enc', b_enc, [n]);
  // every format's jumprelu is relu(pre)·[pre > θ]: below 0 a threshold does nothing
  if (threshold)
    keep(
      params,
      'threshold',
      threshold.map((value) => Math.max(value, 0)),
      [n],
    );

  const b_dec = weights.b_dec ? await read(checkpoint, weights.b_dec, signal) : new Float32Array(d);
  keep(params, 'b_dec', scale(b_dec, 1 / inputScale), [d]);
}

/** tfjs does not check: beyond a device's limit its results would be zeros. */
function checkFits({ dModel, nLatents, file }: Checkpoint): void {
  const limit = maxTensorBytes();
  const bytes = 4 * dModel * nLatents;
  if (limit === undefined || bytes <= limit) return;
  throw formatError({
    file,
    field: 'size',
    found: `matrices of ${bytes} bytes as float32`,
    expected: `at most ${limit}, the largest buffer of the current device`,
    hint: 'use another backend (wasm, tensorflow)',
  });
}

/** z = (x − mean)·M, x = z·M⁻¹ + mean (SAELens `fold_activation_whitening`). */
async function foldWhitening(checkpoint: Checkpoint, params: Params, signal?: AbortSignal): Promise<void> {
  const { whitening } = checkpoint.weights;
  if (!whitening) return;
  const d = checkpoint.dModel;
  const mean = tf.tensor2d(await read(checkpoint, whitening.mean, signal), [1, d]);
  const matrix = tf.tensor2d(await read(checkpoint, whitening.matrix, signal), [d, d]);
  const inverse = tf.tensor2d(await read(checkpoint, whitening.inverse, signal), [d, d]);
  tf.tidy(() => {
    const W_enc = tf.matMul(matrix, params.W_enc as tf.Variable<tf.Rank.R2>);
    params.W_enc!.assign(W_enc);
    if (!checkpoint.applyBDecToInput) {
      params.b_enc!.assign(tf.sub(params.b_enc!, tf.reshape(tf.matMul(mean, W_enc), [-1])));
    }
    params.W_dec!.assign(tf.matMul(params.W_dec as tf.Variable<tf.Rank.R2>, inverse));
    const row = tf.reshape(params.b_dec!, [1, d]) as tf.Tensor2D;
    params.b_dec!.assign(tf.reshape(tf.add(tf.matMul(row, inverse), mean), [d]));
  });
  for (const tensor of [mean, matrix, inverse]) tensor.dispose();
}

function loaded(checkpoint: Checkpoint, params: Params, skip: tf.Tensor2D | null): LoadedSae {
  const { activation, dModel, nLatents, applyBDecToInput, preprocessing } = checkpoint;
  const config: SaeConfig = {
    dModel,
    nLatents,
    activation,
    penalty: checkpoint.penalty ?? none(),
    applyBDecToInput,
  };
  const sae: Sae = {
    config,
    params: params as Sae['params'],
    inferenceThreshold: inferenceThreshold(checkpoint),
    dispose() {
      for (const variable of Object.values(params)) variable.dispose();
    },
  };
  return {
    sae,
    preprocessing,
    skip,
    format: checkpoint.format,
    architecture: checkpoint.architecture,
    prefixes: checkpoint.prefixes ?? null,
    training: checkpoint.training ?? null,
    metadata: checkpoint.metadata,
    warnings: checkpoint.warnings,
    encode: (x) => tf.tidy(() => encode(sae, preprocess(preprocessing, x).input)),
    reconstruct: (x) =>
      tf.tidy(() => {
        const { input, restore } = preprocess(preprocessing, x);
        const output = restore(decode(sae, encode(sae, input)));
        return skip ? tf.add(output, tf.matMul(tf.reshape(x, input.shape), skip)) : output;
      }),
    dispose() {
      sae.dispose();
      skip?.dispose();
    },
  };
}

/** In units of pre·‖decoder row‖ a threshold shrinks with the decoder; otherwise an input scale leaves it alone. */
function inferenceThreshold(checkpoint: Checkpoint): number | null {
  const threshold = checkpoint.inferenceThreshold ?? null;
  if (threshold === null || !checkpoint.scaleByDecoderNorm) return threshold;
  return threshold / ((checkpoint.inputScale ?? 1) * (checkpoint.encoderScale ?? 1));
}

function keep(params: Params, name: keyof Params, values: Float32Array, shape: number[]): void {
  params[name] = tf.tidy(() => tf.variable(tf.tensor(values, shape, 'float32')));
}

async function read(checkpoint: Checkpoint, ref: WeightRef, signal?: AbortSignal): Promise<Float32Array> {
  const values = await readTensor(ref.tensor, { transpose: ref.transpose ?? false, signal });
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw formatError({
        file: ref.tensor.source.name,
        field: `tensor ${ref.tensor.name}`,
        found: `${values[i]} among its values`,
        expected: 'finite weights',
        hint: `the ${checkpoint.architecture} SAE was damaged while training or writing`,
      });
    }
  }
  return values;
}

function scale(values: Float32Array, factor: number): Float32Array {
  if (factor !== 1) for (let i = 0; i < values.length; i++) values[i]! *= factor;
  return values;
}

/** Makes the rows of W_dec unit vectors and returns their norms (at least 1e-8, as SAELens does). */
function takeNorms(W_dec: Float32Array, n: number, d: number): Float32Array {
  const norms = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const row = W_dec.subarray(i * d, (i + 1) * d);
    let sum = 0;
    for (const value of row) sum += value * value;
    norms[i] = Math.max(Math.sqrt(sum), 1e-8);
    for (let j = 0; j < d; j++) row[j]! /= norms[i]!;
  }
  return norms;
}
