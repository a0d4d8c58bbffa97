/**
 * Training recipes for the write-up's toy (a tree of 20 features): its own settings, the vanilla SAE it is compared with, and
 * three ways to finish a run. `best` is the one that recovers the features exactly; every part of it is an ordinary option of
 * the trainer and none of it sees a true feature.
 */
import { fixedWidths, fullPrefix, type PrefixScheme, truncatedPareto } from '@msae/sampler';
import { referencePreset, type TrainerOptions, wsdSchedule } from '@msae/train';

/** The recipes, in the order in which a comparison reads best. */
export const TOY_PRESETS = ['vanilla', 'reference', 'full-prefix-only', 'encoder-only', 'best'] as const;

export type ToyPreset = (typeof TOY_PRESETS)[number];

export interface ToyRecipeOptions {
  readonly totalSteps: number;
  /** N, for the prefix weights of `best`. Default 20. */
  readonly nLatents?: number;
  /** Seed of the prefix draws. Default 0. */
  readonly seed?: number;
}

/** Rows of a batch, in every recipe. */
const BATCH = 200;
/** P, in every recipe but `vanilla`. */
const PREFIXES = 10;
/** Mean number of active features in the write-up's tree: 3 · .15 · 1.6 + 8 · .05. */
const TRUE_L0 = 1.12;

/**
 * Options of a trainer for an SAE made with `init: 'reference'`, relu and `l1()`.
 *
 * - `vanilla`: one prefix, all latents; everything else as in the notebook.
 * - `reference`: the notebook, without its permutation of latents (whose moments and averages the original leaves behind), with the
 *   normaliser started at the first batch's norm and the tree's true L0 as the target.
 * - `full-prefix-only`: the notebook for 75 % of the run, then the full prefix alone without penalty.
 * - `encoder-only`: the same, but in the last quarter the inner prefixes go on training the encoder.
 * - `best`: see {@link bestRecipe}.
 */
export function toyRecipe(preset: ToyPreset, options: ToyRecipeOptions): TrainerOptions {
  const { totalSteps, seed = 0 } = options;
  const reference: TrainerOptions = {
    ...referencePreset({ totalSteps, prefixCount: PREFIXES, seed }),
    batchSize: BATCH,
  };
  const decayed = wsdSchedule({ warmupSteps: 100, decayFraction: 0.2, endFactor: 0.03 });
  switch (preset) {
    case 'vanilla':
      return { ...reference, prefixes: fullPrefix() };
    case 'reference':
      return {
        ...referencePreset({ totalSteps, prefixCount: PREFIXES, seed, targetL0: TRUE_L0 }),
        batchSize: BATCH,
      };
    case 'full-prefix-only':
      return {
        ...reference,
        schedule: decayed,
        phases: [{ from: 0.75, prefixes: fullPrefix(), penaltyCoefficient: 0 }],
      };
    case 'encoder-only':
      return {
        ...reference,
        schedule: decayed,
        phases: [{ from: 0.75, decoderPrefixes: 'full', penaltyCoefficient: 0 }],
      };
    case 'best':
      return bestRecipe(options);
  }
}

/**
 * Three phases on one learning-rate schedule.
 *
 * 1. To 15 % of the run, **every prefix with steeply falling weights**, w_p ∝ .45^(p−1): a latent is trained for the prefix that it
 *    ends, and hardly for how later latents could patch it. That settles the order: parents first, each the best single
 *    direction for all of its children. Late latents learn little; up to 40 % those that are silent, or worth less than a fifth
 *    of the median latent, are resampled at the worst explained rows, which is where features without a latent are.
 * 2. To 60 %, the write-up's own loss, the mean over 10 Pareto prefixes, with the penalty under control.
 * 3. Then no penalty, and inner prefixes train only the encoder, so that the decoder is free of their pull.
 *
 * Weight decay on W_enc alone opens gates that an inhibition shut for good (a silent relu has no gradient of its own).
 */
function bestRecipe({ totalSteps, nLatents = 20, seed = 0 }: ToyRecipeOptions): TrainerOptions {
  return {
    totalSteps,
    batchSize: BATCH,
    prefixes: fallingWeights(nLatents, 0.45),
    learningRate: 0.02,
    schedule: wsdSchedule({ warmupSteps: 100, decayFraction: 0.2, endFactor: 0.03 }),
    optimizer: { beta1: 0.5, beta2: 0.98 },
    parameterGroups: { W_enc: { weightDecay: 0.01 } },
    sparsityController: {
      kind: 'reference',
      targetL0: 1.2338,
      start: 0.3,
      rate: 0.001,
      warmupSteps: Math.floor(totalSteps / 5),
    },
    deadLatents: { afterTokens: 50 * BATCH, refreshEvery: 50 },
    resampling: {
      every: 500,
      until: 0.4,
      rows: 'largest',
      encoderScale: 1,
      weak: { below: 0.2, steps: 50 },
    },
    phases: [
      { from: 0.15, prefixes: sampledPrefixes() },
      { from: 0.6, prefixes: sampledPrefixes(), decoderPrefixes: 'full', penaltyCoefficient: 0 },
    ],
    seed,
  };
}

function sampledPrefixes(): PrefixScheme {
  return truncatedPareto({ count: PREFIXES, power: 0.5, reduction: 'mean' });
}

/** Every prefix p = 1 … N with weight ∝ ratio^(p−1), the weights summing to 1. */
function fallingWeights(nLatents: number, ratio: number): PrefixScheme {
  const lengths = Array.from({ length: nLatents }, (_, i) => i + 1);
  const powers = lengths.map((p) => ratio ** (p - 1));
  const total = powers.reduce((sum, w) => sum + w, 0);
  return fixedWidths(
    lengths,
    powers.map((w) => w / total),
  );
}
