/**
 * Synthetic activations with the difficulties of real ones, after SynthSAEBench (Chanin et al., arXiv 2602.14687) at a
 * size a CPU trains on: more features than dimensions, Zipf firing rates, trees of features whose siblings exclude one
 * another, low-rank correlations between coins (a Gaussian copula), magnitudes of rectified normals.
 */

import type { Rng } from '@msae/sampler';
import { check, flag, givenBy, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import { streamRng } from '../seed.ts';
import { checkBatches } from '../source.ts';
import { endlessSource } from './endlessSource.ts';
import { childrenOf, coinRates, growForest, zipfRates } from './forest.ts';
import { normalQuantile } from './normalQuantile.ts';
import { type LabelledSamples, type LabelledSource, multiplySparse } from './toyTree.ts';

export interface SynthBenchOptions {
  /** Default 256 (the benchmark: 16,384). */
  nFeatures?: number;
  /** Default 64 (768). */
  dModel?: number;
  seed?: number;
  /** Exponent of the firing rates; default 0.5. */
  zipfExponent?: number;
  /** Rates of the rarest and the commonest feature; default [0.004, 0.4] ([0.0005, 0.4]). */
  rates?: readonly [number, number];
  /** Trees; default 8 (128). */
  roots?: number;
  /** Default 4. */
  branching?: number;
  /** Levels below the roots; default 2 (3). */
  depth?: number;
  /** Whether at most one child of a feature fires at a time; default true. */
  exclusiveChildren?: boolean;
  /** Shared factors behind the coins; default 8 (25). 0 for independent ones. */
  correlationRank?: number;
  /** Spread of each loading; default 0.1. */
  correlationScale?: number;
  /** Mean magnitude of the first and the last feature, linear between; default [5, 4]. */
  magnitudes?: readonly [number, number];
  /** Mean and spread of the folded normal each feature's own magnitude spread is drawn from; default [0.5, 0.5]. */
  magnitudeSpread?: readonly [number, number];
}

const pair = (help: string, fallback: readonly [number, number]): Schema<readonly [number, number]> =>
  optional(
    givenBy<readonly [number, number]>(
      'two numbers',
      (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite),
      { help },
    ),
    fallback,
  );

const schema: Schema<SynthBenchOptions> = object<SynthBenchOptions>({
  nFeatures: optional(whole({ min: 1, help: 'features' }), 256),
  dModel: optional(whole({ min: 1, help: 'dimensions of x' }), 64),
  seed: optional(whole({ help: 'of the features and the samples' }), 0),
  zipfExponent: optional(number({ help: 'of the firing rates' }), 0.5),
  rates: pair('of the rarest and the commonest feature', [0.004, 0.4]),
  roots: optional(whole({ min: 0, help: 'trees' }), 8),
  branching: optional(whole({ min: 0, help: 'children of a feature' }), 4),
  depth: optional(whole({ min: 0, help: 'levels below the roots' }), 2),
  exclusiveChildren: optional(flag({ help: 'at most one child fires' }), true),
  correlationRank: optional(whole({ min: 0, help: 'shared factors behind the coins' }), 8),
  correlationScale: optional(number({ min: 0, help: 'spread of a loading' }), 0.1),
  magnitudes: pair('mean of the first and the last feature', [5, 4]),
  magnitudeSpread: pair('mean and spread of the magnitudes’ spread', [0.5, 0.5]),
});

export interface SynthBench extends LabelledSource {
  /** [nFeatures] the rate each feature is meant to fire at; siblings that would outdo their parent together come lower */
  readonly rates: Float64Array;
}

/**
 * Makes the data, an endless source.
 *
 * @throws MsaeError `option` when an option is out of its range
 */
export function synthBench(options: SynthBenchOptions = {}): SynthBench {
  const {
    nFeatures = 256,
    dModel = 64,
    seed = 0,
    zipfExponent = 0.5,
    rates: [least, most] = [0.004, 0.4],
    roots = 8,
    branching = 4,
    depth = 2,
    exclusiveChildren = true,
    correlationRank = 8,
    correlationScale = 0.1,
    magnitudes: [first, last] = [5, 4],
    magnitudeSpread = [0.5, 0.5],
  } = check(schema, options, 'synthBench');
  if (!(least > 0 && most >= least && most < 1)) {
    throw msaeError('option', `synthBench: rates: expected 0 < least <= most < 1, got [${least}, ${most}]`);
  }
  const parentOf = growForest({ nFeatures, roots, branching, depth });
  const rates = zipfRates(nFeatures, zipfExponent, least, most);
  const make = streamRng(seed, 1);
  const features = unitVectors(nFeatures, dModel, make);
  const coins = correlatedCoins(coinRates(rates, parentOf, exclusiveChildren), {
    rank: correlationRank,
    scale: correlationScale,
    rng: make,
  });
  const means = rates.map((_, i) => first + ((last - first) * i) / Math.max(1, nFeatures - 1));
  const spreads = rates.map(() => Math.abs(magnitudeSpread[0] + magnitudeSpread[1] * make.normal()));
  const children = childrenOf(parentOf);
  const tops = parentOf.flatMap((parent, feature) => (parent < 0 ? [feature] : []));
  let rng = streamRng(seed, 2);

  /** Draws the firing features of one row. */
  const drawRow = (row: Float32Array): void => {
    const fires = coins.next(rng);
    const walk = (feature: number): void => {
      const magnitude = means[feature]! + spreads[feature]! * rng.normal();
      if (magnitude <= 0) return; // rectified away, and its children with it
      row[feature] = magnitude;
      const chosen = children[feature]!.filter((child) => fires(child));
      if (exclusiveChildren && chosen.length > 1) walk(chosen[rng.int(chosen.length)]!);
      else for (const child of chosen) walk(child);
    };
    for (const top of tops) if (fires(top)) walk(top);
  };

  const sample = (rows: number): LabelledSamples => {
    checkBatches({ batchSize: rows });
    const activations = new Float32Array(rows * nFeatures);
    const x = new Float32Array(rows * dModel);
    for (let row = 0; row < rows; row++)
      drawRow(activations.subarray(row * nFeatures, (row + 1) * nFeatures));
    multiplySparse(activations, features, x, { rows, nFeatures, dModel });
    return { x, activations, rows };
  };

  return {
    nFeatures,
    features,
    parentOf,
    rates,
    sample,
    ...endlessSource({
      kind: 'synth-bench',
      name: 'synth bench',
      width: dModel,
      next: (rows) => sample(rows).x,
      rng: () => rng,
      setRng: (next) => {
        rng = next;
      },
    }),
  };
}

/** Rows of length 1 in random directions. [nFeatures, dModel] */
function unitVectors(nFeatures: number, dModel: number, rng: Rng): Float32Array {
  const out = new Float32Array(nFeatures * dModel);
  for (let f = 0; f < nFeatures; f++) {
    const row = Float64Array.from({ length: dModel }, () => rng.normal());
    const norm = Math.hypot(...row);
    for (let k = 0; k < dModel; k++) out[f * dModel + k] = row[k]! / norm;
  }
  return out;
}

/**
 * Coins that fall together: feature i fires when loadings_i · shared + own_i exceeds the quantile of its rate, where
 * the sum has variance 1. Own noise is drawn when a coin is looked at, so unlooked-at coins cost nothing.
 */
function correlatedCoins(
  rates: Float64Array,
  { rank, scale, rng }: { rank: number; scale: number; rng: Rng },
): { next(rng: Rng): (feature: number) => boolean } {
  const loadings = Float64Array.from({ length: rates.length * rank }, () => scale * rng.normal());
  const own = new Float64Array(rates.length);
  for (let i = 0; i < rates.length; i++) {
    const row = loadings.subarray(i * rank, (i + 1) * rank);
    const shared = row.reduce((sum, value) => sum + value * value, 0);
    const shrink = shared > 0.9 ? Math.sqrt(0.9 / shared) : 1; // leave a tenth of the variance to the feature itself
    for (let k = 0; k < rank; k++) row[k]! *= shrink;
    own[i] = Math.sqrt(1 - shared * shrink * shrink);
  }
  const thresholds = rates.map((rate) => normalQuantile(1 - rate));
  const shared = new Float64Array(rank);
  return {
    next(draw) {
      for (let k = 0; k < rank; k++) shared[k] = draw.normal();
      return (feature) => {
        let z = own[feature]! * draw.normal();
        for (let k = 0; k < rank; k++) z += loadings[feature * rank + k]! * shared[k]!;
        return z > thresholds[feature]!;
      };
    },
  };
}
