/**
 * Which latent stands for which known feature. MCC, MMCS and uniqueness as in SAELens's synthetic evaluation
 * (sae_lens/synthetic/evals.py); the matching by activations is the one of the write-up's notebook.
 */
import { msaeError } from '@msae/schema';
import { assignMaximum } from './assignment.ts';
import { checkMatrix, cosineMatrix, type Matrix } from './matrix.ts';

export interface MatchOptions {
  /** W_dec [N, d]. */
  readonly decoder: Matrix;
  /** True feature directions [F, d]. */
  readonly truth: Matrix;
  /**
   * Match by what fires together instead of by direction: latent activations [S, N] and true feature activations [S, F] on the
   * same samples. The score is the cosine between the two columns.
   */
  readonly activations?: { readonly latents: Matrix; readonly features: Matrix };
}

export interface LatentMatch {
  /** For every true feature the latent matched with it one to one (Hungarian), or -1 when there are fewer latents than features. */
  readonly latentOfFeature: Int32Array;
  /** For every latent its feature, or -1. */
  readonly featureOfLatent: Int32Array;
  /** Signed cosine between a feature and its matched latent's decoder row, [F]; NaN where unmatched. */
  readonly cosine: Float64Array;
  /** For every latent the feature with the greatest |cosine|, [N] (not one to one). */
  readonly nearestFeature: Int32Array;
  /** Mean |cosine| of the pairs of the one-to-one match that maximises it (mean correlation coefficient). */
  readonly mcc: number;
  /** Mean over features of the greatest |cosine| with any latent (mean max cosine similarity). */
  readonly mmcs: number;
  /** Distinct nearest features over latents: 1 when no two latents share their nearest feature. */
  readonly uniqueness: number;
  /** Cosines of every latent with every feature, [N, F]. */
  readonly cosines: Float64Array;
}

/** Matches latents with known features, one to one. Throws an MsaeError when shapes disagree or a number is not finite. */
export function matchLatents(options: MatchOptions): LatentMatch {
  const { decoder, truth, activations } = options;
  checkMatrix('matchLatents: decoder', decoder);
  checkMatrix('matchLatents: truth', truth, decoder.columns);
  const [nLatents, nFeatures] = [decoder.rows, truth.rows];
  if (nLatents === 0 || nFeatures === 0) {
    throw msaeError(
      'shape',
      `matchLatents: ${nLatents} latents and ${nFeatures} features; at least one of each is needed`,
    );
  }
  const cosines = cosineMatrix(decoder, truth);
  const absolute: Matrix = { data: cosines.map(Math.abs), rows: nLatents, columns: nFeatures };
  const byDirection = assignMaximum(absolute);
  const assignment = activations
    ? assignMaximum(activationCosines(activations, nLatents, nFeatures))
    : byDirection;

  const cosine = new Float64Array(nFeatures).fill(Number.NaN);
  const best = new Float64Array(nFeatures);
  const nearestFeature = new Int32Array(nLatents);
  let matchedSum = 0;
  for (let i = 0; i < nLatents; i++) {
    let nearest = 0;
    for (let j = 0; j < nFeatures; j++) {
      const value = absolute.data[i * nFeatures + j]!;
      if (value > absolute.data[i * nFeatures + nearest]!) nearest = j;
      if (value > best[j]!) best[j] = value;
    }
    nearestFeature[i] = nearest;
    const partner = byDirection.columnOfRow[i]!;
    if (partner >= 0) matchedSum += absolute.data[i * nFeatures + partner]!;
  }
  const latentOfFeature = assignment.rowOfColumn;
  for (let j = 0; j < nFeatures; j++) {
    if (latentOfFeature[j]! >= 0) cosine[j] = cosines[latentOfFeature[j]! * nFeatures + j]!;
  }
  return {
    latentOfFeature,
    featureOfLatent: assignment.columnOfRow,
    cosine,
    nearestFeature,
    mcc: matchedSum / Math.min(nLatents, nFeatures),
    mmcs: best.reduce((sum, value) => sum + value, 0) / nFeatures,
    uniqueness: new Set(nearestFeature).size / nLatents,
    cosines,
  };
}

/** Cosine between every latent's and every feature's column of activations: [N, F]; a silent column scores 0. */
function activationCosines(
  activations: { latents: Matrix; features: Matrix },
  nLatents: number,
  nFeatures: number,
): Matrix {
  const { latents, features } = activations;
  checkMatrix('matchLatents: activations.latents', latents, nLatents);
  checkMatrix('matchLatents: activations.features', features, nFeatures, latents.rows);
  return {
    data: cosineMatrix(transpose(latents), transpose(features)),
    rows: nLatents,
    columns: nFeatures,
  };
}

function transpose(m: Matrix): Matrix {
  const data = new Float64Array(m.data.length);
  for (let i = 0; i < m.rows; i++) {
    for (let j = 0; j < m.columns; j++) data[j * m.rows + i] = m.data[i * m.columns + j]!;
  }
  return { data, rows: m.columns, columns: m.rows };
}
