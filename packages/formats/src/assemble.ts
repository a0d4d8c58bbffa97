/**
 * From a described checkpoint to a core SAE on the current tfjs backend. One tensor at a time is read, changed in
 * place and handed over, so at no moment is there a second full copy of the weights.
 *
 * Constants and normalisations of the activations become steps of the SAE's transform. Other parametrisations are
 * rewritten: W_enc·n, b_enc·n, W_dec/n for decoder norms n; a gated SAE becomes a jumprelu one, which is exact because
 * its two encoders share W_enc: with r = exp(r_mag),
 * relu(r·xW + b_mag)·[xW + b_gate > 0] = p·[p > max(b_mag − r·b_gate, 0)], p = r·xW + b_mag.
 */
import {
  activationTraits,
  none,
  type ParamName,
  type Sae,
  saeFromWeights,
  type TransformStep,
} from '@msae/core';
import { maxTensorBytes } from '@msae/core/backend';
import { isMsaeError, msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { type Checkpoint, needsKey, type StoredStep, type WeightRef } from './checkpoint.ts';
import { readTensor } from './containers/storedTensor.ts';
import { formatError } from './formatError.ts';
import type { Detected } from './formats/detect.ts';

type Weights = Partial<Record<ParamName, tf.Tensor>>;

/** Reads the weights. @throws MsaeError `file` for values that are not finite, `device` for matrices too large for it. */
export async function assemble({ format, checkpoint }: Detected, signal?: AbortSignal): Promise<Sae> {
  checkFits(checkpoint);
  const { input, output, nLatents, activation, applyBDecToInput, architecture } = checkpoint;
  const weights: Weights = {};
  try {
    await fillWeights(checkpoint, weights, signal);
    const { skip } = checkpoint.weights;
    return saeFromWeights(
      {
        input,
        ...(output && { output }),
        nLatents,
        activation,
        penalty: checkpoint.penalty ?? none(),
        applyBDecToInput,
      },
      weights as Required<Weights>,
      {
        adopt: true,
        transform: await readTransform(checkpoint, signal),
        skip: skip ? await read(checkpoint, skip, signal) : null,
        inferenceThreshold: inferenceThreshold(checkpoint),
        prefixes: checkpoint.prefixes ?? null,
        record: {
          training: checkpoint.training ?? null,
          metadata: {
            ...checkpoint.metadata,
            ...(checkpoint.needs && { [needsKey]: checkpoint.needs }),
          },
          source: checkpoint.source ?? { format, architecture },
          warnings: checkpoint.warnings,
        },
      },
    );
  } catch (error) {
    tf.dispose(Object.values(weights));
    if (!isMsaeError(error) || error.code === 'file' || error.code === 'device') throw error;
    throw msaeError('file', `${checkpoint.file}: ${error.message}`, { file: checkpoint.file, cause: error });
  }
}

async function fillWeights(checkpoint: Checkpoint, made: Weights, signal?: AbortSignal): Promise<void> {
  const { weights, nLatents: n, encoderScale = 1 } = checkpoint;
  const d = checkpoint.input.width;
  const e = (checkpoint.output ?? checkpoint.input).width;
  const W_dec = await read(checkpoint, weights.W_dec, signal);
  if (encoderScale !== 1) for (let i = 0; i < W_dec.length; i++) W_dec[i]! /= encoderScale;
  const gain = new Float32Array(n).fill(encoderScale); // of the columns of W_enc
  const norms = checkpoint.scaleByDecoderNorm ? takeNorms(W_dec, n, e, constantScale(checkpoint)) : undefined;
  if (norms) for (let i = 0; i < n; i++) gain[i]! *= norms[i]!;
  keep(made, 'W_dec', W_dec, [n, e]);

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
  if (gain.some((factor) => factor !== 1))
    for (let row = 0, at = 0; row < d; row++) for (let i = 0; i < n; i++, at++) W_enc[at]! *= gain[i]!;
  keep(made, 'W_enc', W_enc, [d, n]);

  const bias = gated?.b_mag ?? weights.b_enc;
  const b_enc = bias ? await read(checkpoint, bias, signal) : new Float32Array(n);
  let threshold: Float32Array | undefined;
  if (gated && ratio) {
    const b_gate = await read(checkpoint, gated.b_gate, signal);
    threshold = b_enc.map((b, i) => b - ratio[i]! * b_gate[i]!);
  } else if (weights.threshold) {
    threshold = await read(checkpoint, weights.threshold, signal);
    if (checkpoint.logThreshold) threshold = threshold.map(Math.exp);
  } else if (activationTraits(checkpoint.activation).learnsThreshold) {
    threshold = new Float32Array(n).fill(checkpoint.uniformThreshold ?? 0);
  }
  if (norms) for (let i = 0; i < n; i++) b_enc[i]! *= norms[i]!;
  keep(made, 'b_enc', b_enc, [n]);
  // every format keeps relu(pre)·[pre > θ]: below 0 a threshold does nothing
  if (threshold) {
    const floored = threshold.map((value) => Math.max(value, 0));
    keep(made, 'threshold', floored, [n]);
  }
  const b_dec = weights.b_dec ? await read(checkpoint, weights.b_dec, signal) : new Float32Array(e);
  keep(made, 'b_dec', b_dec, [e]);
}

/** tfjs does not check: beyond a device's limit its results would be zeros. */
function checkFits({ input, output, nLatents, file }: Checkpoint): void {
  const limit = maxTensorBytes();
  const bytes = 4 * nLatents * Math.max(input.width, output?.width ?? 0);
  if (limit === undefined || bytes <= limit) return;
  throw msaeError(
    'device',
    `${file}: its matrices take ${bytes} bytes as float32, the largest buffer of the current device has ${limit}; use another backend (wasm, tensorflow)`,
    { file },
  );
}

async function readTransform(
  checkpoint: Checkpoint,
  signal?: AbortSignal,
): Promise<{ input: TransformStep[]; output?: TransformStep[] }> {
  const { input = [], output } = checkpoint.transform ?? {};
  const whole = async ({ kind, numbers, arrays = {} }: StoredStep): Promise<TransformStep> => {
    const step: Record<string, unknown> = { kind, ...numbers };
    for (const [name, ref] of Object.entries(arrays)) step[name] = await read(checkpoint, ref, signal);
    return step as object as TransformStep; // checked when the SAE is made
  };
  const all = async (steps: readonly StoredStep[]): Promise<TransformStep[]> => {
    const made: TransformStep[] = [];
    for (const step of steps) made.push(await whole(step));
    return made;
  };
  return { input: await all(input), ...(output && { output: await all(output) }) };
}

/** What outputs are divided by, as far as it is a number. */
function constantScale({ transform, output }: Checkpoint): number {
  const steps = (output ? transform?.output : transform?.input) ?? [];
  return steps.reduce((product, { numbers }) => product * (numbers?.factor ?? 1), 1);
}

/** In units of pre·‖decoder row‖ a threshold shrinks with the decoder; otherwise an input scale leaves it alone. */
function inferenceThreshold(checkpoint: Checkpoint): number | null {
  const threshold = checkpoint.inferenceThreshold ?? null;
  if (threshold === null || !checkpoint.scaleByDecoderNorm) return threshold;
  return threshold / constantScale(checkpoint);
}

function keep(weights: Weights, name: ParamName, values: Float32Array, shape: number[]): void {
  weights[name] = tf.tensor(values, shape, 'float32');
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

/** Divides the rows of W_dec by the norms their undone outputs have, and returns those (at least 1e-8, as in SAELens). */
function takeNorms(W_dec: Float32Array, n: number, e: number, scale: number): Float32Array {
  const norms = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const row = W_dec.subarray(i * e, (i + 1) * e);
    let sum = 0;
    for (const value of row) sum += value * value;
    norms[i] = Math.max(Math.sqrt(sum) / scale, 1e-8);
    for (let j = 0; j < e; j++) row[j]! /= norms[i]!;
  }
  return norms;
}
