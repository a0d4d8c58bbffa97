/** How well an SAE has found the toy's features. Definitions: groundTruth.ts and matchLatents.ts of @msae/eval. */
import { decode, encode, fold, type Sae } from '@msae/core';
import type { LabelledSource } from '@msae/data';
import { groundTruthMetrics, matchLatents, matrix, reconstructionAccumulator } from '@msae/eval';
import * as tf from '@tensorflow/tfjs-core';

export interface ToyScores {
  /** Cosine of a feature's direction with its latent's decoder row (one to one, Hungarian): over all features, and by kind. */
  readonly cosine: {
    readonly mean: number;
    readonly min: number;
    readonly parents: number;
    readonly children: number;
    readonly independents: number;
  };
  /** F1 of "the matched latent fires" for "the feature is active". */
  readonly f1: { readonly mean: number; readonly min: number };
  readonly fvu: number;
  readonly l0: number;
  readonly trueL0: number;
  /** P(the parent's latent is silent | one of its children is active). */
  readonly absorption: number;
  /** Cosine of a child's decoder row with its parent's direction: mean, and the largest absolute value. */
  readonly childParent: { readonly mean: number; readonly maxAbsolute: number };
}

/** Activations of a few samples beside the truth, and directions against it; latents in the order of the features they match. */
export interface ToyPictures {
  readonly nFeatures: number;
  readonly rows: number;
  /** [rows, nFeatures] */
  readonly truth: Float32Array;
  /** [rows, nFeatures], each latent scaled by its largest value. */
  readonly latents: Float32Array;
  /** [nFeatures, nFeatures] cosine of latent i's decoder row (encoder column) with feature j. */
  readonly decoder: Float64Array;
  readonly encoder: Float64Array;
}

export interface ToyEvaluation {
  readonly scores: ToyScores;
  readonly pictures: ToyPictures;
}

/** Evaluates on `samples` fresh rows of the source (its stream goes on where training left it), on the current tfjs backend. */
export async function evaluateToy(
  sae: Sae,
  source: Pick<LabelledSource, 'nFeatures' | 'features' | 'parentOf' | 'sample'>,
  samples = 20_000,
): Promise<ToyEvaluation> {
  const [d, n] = [sae.config.input.width, sae.config.nLatents];
  const { nFeatures: nf, features, parentOf } = source;
  const data = source.sample(samples);
  const { latents, rebuilt } = await throughSae(sae, data.x, samples);
  const folded = await fold(sae);
  const [W_enc, W_dec] = [await folded.W_enc(), await folded.W_dec()];
  const reconstruction = reconstructionAccumulator(d);
  reconstruction.add(matrix(data.x, d), matrix(rebuilt, d));
  const truth = matrix(features, d);
  const decoder = matrix(W_dec, d);
  const match = matchLatents({ decoder, truth });
  const found = groundTruthMetrics({
    match,
    latents: matrix(latents, n),
    features: matrix(data.activations, nf),
    truth,
    decoder,
    parentOfFeature: parentOf,
  });
  const isParent = (j: number): boolean => parentOf.includes(j);
  const isChild = (j: number): boolean => parentOf[j]! >= 0;
  const cosines = [...match.cosine].map((value) => (Number.isFinite(value) ? value : 0));
  const mean = (keep: (j: number) => boolean): number => average(cosines.filter((_, j) => keep(j)));
  const childParent = [...parentOf.keys()]
    .filter((j) => isChild(j) && match.latentOfFeature[j]! >= 0)
    .map((j) => match.cosines[match.latentOfFeature[j]! * nf + parentOf[j]!]!);
  const scores: ToyScores = {
    cosine: {
      mean: average(cosines),
      min: Math.min(...cosines),
      parents: mean(isParent),
      children: mean(isChild),
      independents: mean((j) => !isParent(j) && !isChild(j)),
    },
    f1: { mean: found.matched.f1, min: found.matched.minF1 },
    fvu: reconstruction.result().fvu,
    l0: found.l0,
    trueL0: found.trueL0,
    absorption: found.tree?.absorption ?? Number.NaN,
    childParent: { mean: average(childParent), maxAbsolute: Math.max(...childParent.map(Math.abs)) },
  };
  const encoderRows = transpose(W_enc, d, n);
  const encoderMatch = matchLatents({ decoder: matrix(encoderRows, d), truth });
  const order = [...match.latentOfFeature];
  return {
    scores,
    pictures: {
      nFeatures: nf,
      ...activationPictures({ activations: data.activations, latents, order, nf, n }),
      decoder: inOrder(match.cosines, order, nf),
      encoder: inOrder(encoderMatch.cosines, order, nf),
    },
  };
}

/** f [S, N] and x̂ [S, d] of raw rows. */
async function throughSae(
  sae: Sae,
  data: Float32Array,
  rows: number,
): Promise<{ latents: Float32Array; rebuilt: Float32Array }> {
  const x = tf.tensor2d(data, [rows, sae.config.input.width]);
  const f = encode(sae, x);
  const xHat = decode(sae, f, { x });
  const [latents, rebuilt] = await Promise.all([f.data(), xHat.data()]);
  tf.dispose([x, f, xHat]);
  return { latents: latents as Float32Array, rebuilt: rebuilt as Float32Array };
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j]!;
  return out;
}

/** Rows of a [N, F] matrix in the order of the features they match. */
function inOrder(cosines: Float64Array, order: readonly number[], nf: number): Float64Array {
  const out = new Float64Array(order.length * nf);
  order.forEach((latent, i) => {
    if (latent >= 0) out.set(cosines.subarray(latent * nf, (latent + 1) * nf), i * nf);
  });
  return out;
}

const PICTURED_ROWS = 100;

/** The first rows in which anything is active. */
function activationPictures(input: {
  activations: Float32Array;
  latents: Float32Array;
  order: readonly number[];
  nf: number;
  n: number;
}): Pick<ToyPictures, 'rows' | 'truth' | 'latents'> {
  const { activations, latents, order, nf, n } = input;
  const largest = new Float64Array(n);
  latents.forEach((value, at) => {
    largest[at % n] = Math.max(largest[at % n]!, value);
  });
  const picked: number[] = [];
  for (let r = 0; r * nf < activations.length && picked.length < PICTURED_ROWS; r++) {
    if (activations.subarray(r * nf, (r + 1) * nf).some((value) => value > 0)) picked.push(r);
  }
  const truth = new Float32Array(picked.length * nf);
  const found = new Float32Array(picked.length * nf);
  picked.forEach((r, row) => {
    truth.set(activations.subarray(r * nf, (r + 1) * nf), row * nf);
    order.forEach((latent, j) => {
      if (latent >= 0) found[row * nf + j] = latents[r * n + latent]! / (largest[latent]! || 1);
    });
  });
  return { rows: picked.length, truth, latents: found };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
