/**
 * Metrics against known features: does a latent fire when its feature does, and is a parent's latent silent on its children
 * (absorption)? Per-latent scores follow SAELens's sae_lens/synthetic/evals.py; absorption on a tree is SAEBench's notion with the
 * true directions in the place of probes: P(matched parent latent silent | a read-out child is active).
 */
import { msaeError } from '@msae/schema';
import type { LatentMatch } from './matchLatents.ts';
import { checkMatrix, cosineMatrix, type Matrix } from './matrix.ts';

/** Scores of "the latent fires" as a prediction of "the feature is active"; 0 where a ratio is undefined. */
export interface DetectionScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly accuracy: number;
}

export interface GroundTruthOptions {
  readonly match: LatentMatch;
  /** Latent activations [S, N] on S samples; active means of a size above `activeAbove`. */
  readonly latents: Matrix;
  /** True feature activations [S, F] on the same samples. */
  readonly features: Matrix;
  /** True feature directions [F, d]; with `decoder` they give the cosines between parents and children. */
  readonly truth?: Matrix;
  /** W_dec [N, d]. */
  readonly decoder?: Matrix;
  /** For every feature the index of its parent feature in the tree, -1 for a root; left out: no tree, no absorption. */
  readonly parentOfFeature?: ArrayLike<number>;
  /** An activation of a size above this counts as active. Default 0. */
  readonly activeAbove?: number;
}

export interface GroundTruthMetrics {
  readonly samples: number;
  /** Mean active latents a sample, and mean active true features a sample. */
  readonly l0: number;
  readonly trueL0: number;
  /** Latents that never fired on these samples. */
  readonly deadLatents: number;
  /** Per feature, of its matched latent (all zeros where unmatched). */
  readonly perFeature: readonly DetectionScore[];
  /** Mean over features of `perFeature`, and the least F1. */
  readonly matched: DetectionScore & { readonly minF1: number };
  /** Mean over latents, each against its nearest feature (SAELens's definition). */
  readonly nearest: DetectionScore;
  /** Absent without `parentOfFeature`. */
  readonly tree?: TreeMetrics;
}

export interface TreeMetrics {
  /** Mean over parents of `perParent`; 0 ideal, 1 full absorption. NaN when no child ever fired. */
  readonly absorption: number;
  /** P(matched parent latent silent | one of its children active), one entry a parent that has children that fired. */
  readonly perParent: readonly {
    readonly parent: number;
    readonly absorption: number;
    readonly samples: number;
  }[];
  /** Child's latent · parent's true direction: mean, and the mean of absolute values (0 ideal, .707 full absorption). NaN without directions. */
  readonly childLatentParentFeature: { readonly mean: number; readonly meanAbsolute: number };
  /** Parent's latent · child's true direction. NaN without directions. */
  readonly parentLatentChildFeature: { readonly mean: number; readonly meanAbsolute: number };
}

/** Ground-truth metrics on one set of samples. Throws an MsaeError when shapes disagree. */
export function groundTruthMetrics(options: GroundTruthOptions): GroundTruthMetrics {
  const { match, latents, features, activeAbove = 0 } = options;
  const nLatents = match.nearestFeature.length;
  const nFeatures = match.latentOfFeature.length;
  checkMatrix('groundTruthMetrics: latents', latents, nLatents);
  checkMatrix('groundTruthMetrics: features', features, nFeatures, latents.rows);
  const samples = latents.rows;
  if (samples === 0) throw msaeError('value', 'groundTruthMetrics: no samples; at least one row is needed');

  // counts over samples: fired [N], active [F], both [N, F]
  const fired = new Float64Array(nLatents);
  const active = new Float64Array(nFeatures);
  const both = new Float64Array(nLatents * nFeatures);
  const on: number[] = [];
  for (let s = 0; s < samples; s++) {
    on.length = 0;
    for (let j = 0; j < nFeatures; j++) {
      if (features.data[s * nFeatures + j]! > 0) {
        active[j]! += 1;
        on.push(j);
      }
    }
    for (let i = 0; i < nLatents; i++) {
      if (!(Math.abs(latents.data[s * nLatents + i]!) > activeAbove)) continue;
      fired[i]! += 1;
      for (const j of on) both[i * nFeatures + j]! += 1;
    }
  }
  const score = (i: number, j: number): DetectionScore =>
    i < 0 ? NOTHING : detection(both[i * nFeatures + j]!, fired[i]!, active[j]!, samples);
  const perFeature = Array.from(match.latentOfFeature, (i, j) => score(i, j));
  const result: GroundTruthMetrics = {
    samples,
    l0: sum(fired) / samples,
    trueL0: sum(active) / samples,
    deadLatents: fired.reduce((count, value) => count + (value === 0 ? 1 : 0), 0),
    perFeature,
    matched: { ...meanScore(perFeature), minF1: Math.min(...perFeature.map((s) => s.f1)) },
    nearest: meanScore(Array.from(match.nearestFeature, (j, i) => score(i, j))),
  };
  return options.parentOfFeature
    ? { ...result, tree: treeMetrics(options, options.parentOfFeature) }
    : result;
}

const NOTHING: DetectionScore = { precision: 0, recall: 0, f1: 0, accuracy: 0 };

/** Scores from counts: true positives, positives predicted, positives, samples. */
function detection(both: number, fired: number, active: number, samples: number): DetectionScore {
  const precision = fired > 0 ? both / fired : 0;
  const recall = active > 0 ? both / active : 0;
  const f1 = precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0;
  return { precision, recall, f1, accuracy: (samples - fired - active + 2 * both) / samples };
}

function meanScore(scores: readonly DetectionScore[]): DetectionScore {
  const mean = (of: (s: DetectionScore) => number) =>
    scores.reduce((total, s) => total + of(s), 0) / scores.length;
  return {
    precision: mean((s) => s.precision),
    recall: mean((s) => s.recall),
    f1: mean((s) => s.f1),
    accuracy: mean((s) => s.accuracy),
  };
}

function treeMetrics(options: GroundTruthOptions, parentOfFeature: ArrayLike<number>): TreeMetrics {
  const { match, latents, features, activeAbove = 0 } = options;
  const nFeatures = features.columns;
  if (parentOfFeature.length !== nFeatures) {
    throw msaeError(
      'shape',
      `groundTruthMetrics: parentOfFeature has ${parentOfFeature.length} entries, expected ${nFeatures}, one a feature`,
    );
  }
  const childrenOf = new Map<number, number[]>();
  for (let j = 0; j < nFeatures; j++) {
    const parent = parentOfFeature[j]!;
    if (parent < 0) continue;
    if (!Number.isInteger(parent) || parent >= nFeatures) {
      throw msaeError(
        'option',
        `groundTruthMetrics: parentOfFeature[${j}] is ${parent}; expected -1 or a feature below ${nFeatures}`,
      );
    }
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), j]);
  }
  const perParent: { parent: number; absorption: number; samples: number }[] = [];
  for (const [parent, children] of childrenOf) {
    const latent = match.latentOfFeature[parent]!;
    let withChild = 0;
    let silent = 0;
    for (let s = 0; s < features.rows; s++) {
      if (!children.some((j) => features.data[s * nFeatures + j]! > 0)) continue;
      withChild += 1;
      if (latent < 0 || !(Math.abs(latents.data[s * latents.columns + latent]!) > activeAbove)) silent += 1;
    }
    if (withChild > 0) perParent.push({ parent, absorption: silent / withChild, samples: withChild });
  }
  const pairs = [...childrenOf].flatMap(([parent, children]) =>
    children.map((child) => [child, parent] as const),
  );
  return {
    absorption: perParent.reduce((total, p) => total + p.absorption, 0) / perParent.length,
    perParent,
    childLatentParentFeature: pairCosines(options, pairs),
    parentLatentChildFeature: pairCosines(
      options,
      pairs.map(([child, parent]) => [parent, child] as const),
    ),
  };
}

/** Cosine of the first feature's latent with the second's true direction, over pairs whose first feature has a latent. */
function pairCosines(
  options: GroundTruthOptions,
  pairs: readonly (readonly [number, number])[],
): { mean: number; meanAbsolute: number } {
  const { match, decoder, truth } = options;
  if (!decoder || !truth) return { mean: Number.NaN, meanAbsolute: Number.NaN };
  const nFeatures = match.latentOfFeature.length;
  checkMatrix('groundTruthMetrics: truth', truth, decoder.columns, nFeatures);
  checkMatrix('groundTruthMetrics: decoder', decoder, truth.columns, match.nearestFeature.length);
  const cosines = cosineMatrix(decoder, truth);
  const values = pairs
    .filter(([own]) => match.latentOfFeature[own]! >= 0)
    .map(([own, other]) => cosines[match.latentOfFeature[own]! * nFeatures + other]!);
  return {
    mean: sum(values) / values.length,
    meanAbsolute: sum(values.map(Math.abs)) / values.length,
  };
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
