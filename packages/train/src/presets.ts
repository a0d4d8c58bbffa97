/** Options that reproduce published settings. */
import { truncatedPareto } from '@msae/sampler';
import type { TrainerOptions } from './options.ts';
import { wsdSchedule } from './schedules.ts';

export interface ReferenceOptions {
  readonly totalSteps: number;
  /** P. Default 10. */
  readonly prefixCount?: number;
  /** Default 1.2338, the notebook's. */
  readonly targetL0?: number;
  /** Default 3e-2. */
  readonly learningRate?: number;
  /** First λ. Default .2. */
  readonly startCoefficient?: number;
  /** Where the normaliser's running average starts. The reference starts at 0; default: the first batch's norm. */
  readonly normalizerStart?: number;
  readonly seed?: number;
}

/**
 * The write-up's reference implementation (its toy notebook's settings): Adam(.5, .9375), clipping at 1, 100 warm-up steps and
 * the last 20 % down to a tenth, the mean over sampled prefixes, λ steered by ± .03 % a step after a warm-up of a fifth of
 * the run. Use it with an SAE made with `init: 'reference'`, relu, and `l1()` or `log({ subtractLogEpsilon: true })`.
 */
export function referencePreset(options: ReferenceOptions): TrainerOptions {
  const { totalSteps, prefixCount = 10, targetL0 = 1.2338, learningRate = 3e-2 } = options;
  return {
    totalSteps,
    prefixes: truncatedPareto({ count: prefixCount, power: 0.5, reduction: 'mean' }),
    learningRate,
    schedule: wsdSchedule({ warmupSteps: 100, decayFraction: 0.2, endFactor: 0.1 }),
    optimizer: { beta1: 0.5, beta2: 0.9375, epsilon: 1e-8 },
    gradClipNorm: 1,
    normalizer: {
      decay: 0.99,
      ...(options.normalizerStart !== undefined && { start: options.normalizerStart }),
    },
    sparsityController: {
      kind: 'reference',
      targetL0,
      start: options.startCoefficient ?? 0.2,
      rate: 0.0003,
      warmupSteps: Math.floor(totalSteps / 5),
    },
    seed: options.seed ?? 0,
  };
}
