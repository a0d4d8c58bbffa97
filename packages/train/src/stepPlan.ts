/** What holds at one step: prefixes, coefficients and rates of the moment, and what is to be done after the update. */
import type { Prefixes } from '@msae/sampler';
import { type Phase, phaseAt } from './phases.ts';
import { isResamplingStep, isWorthStep } from './resampling.ts';
import { scheduleFactor } from './schedules.ts';
import type { Session } from './session.ts';

export interface StepPlan {
  readonly phase: Phase | null;
  readonly prefixes: Prefixes;
  readonly decoderPrefixWeights: Float64Array | undefined;
  readonly lambda: number;
  readonly learningRate: number;
  readonly report: boolean;
  readonly control: boolean;
  readonly sort: boolean;
  readonly resample: boolean;
  readonly refreshDead: boolean;
  readonly observeWorth: boolean;
}

/** The plan of the session's next step; draws its prefixes. */
export function planStep(session: Session): StepPlan {
  const { options, controller, sae, rng } = session;
  const step = session.step;
  const done = step + 1;
  const phase = phaseAt(options.phases, step, options.totalSteps);
  const prefixes = (phase?.prefixes ?? options.prefixes).sample(sae.config.nLatents, rng);
  const decoder = phase?.decoderPrefixes ?? options.decoderPrefixes;
  const warmup = options.penaltyWarmupSteps;
  const constant = options.penaltyCoefficient * (warmup > 0 ? Math.min(1, done / warmup) : 1);
  const report = done % options.reportEvery === 0 || done === options.totalSteps;
  const refreshEvery =
    (options.deadLatents !== false && options.deadLatents.refreshEvery) || options.reportEvery;
  const resample =
    options.resampling !== false && isResamplingStep(options.resampling, done, options.totalSteps);
  return {
    phase,
    prefixes,
    decoderPrefixWeights: decoder === 'full' ? fullOnly(prefixes) : undefined,
    lambda: phase?.penaltyCoefficient ?? controller?.lambda() ?? constant,
    learningRate:
      options.learningRate *
      scheduleFactor(options.schedule, step, options.totalSteps) *
      (phase?.learningRateFactor ?? 1),
    report,
    control:
      controller !== null && phase?.penaltyCoefficient === undefined && done % options.controlEvery === 0,
    sort: session.sorter !== null && phase?.permutation !== false && done % session.sorter.every === 0,
    resample,
    observeWorth: options.resampling !== false && isWorthStep(options.resampling, done, options.totalSteps),
    refreshDead: done % refreshEvery === 0 || resample || report,
  };
}

function fullOnly({ weights }: Prefixes): Float64Array {
  const out = new Float64Array(weights.length);
  out[out.length - 1] = weights[weights.length - 1] as number;
  return out;
}
