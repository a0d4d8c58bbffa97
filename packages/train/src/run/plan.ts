/** What holds at one step: prefixes, coefficients and rates of the moment, as the parts have left them. */

import type { StepPlan } from '../parts/definition.ts';
import { scheduleFactor } from '../schedules.ts';
import { activeParts, type Session } from './session.ts';

/** The plan of the session's next step. */
export function planStep(session: Session): StepPlan {
  const { options, sae, step } = session;
  const done = step + 1;
  const warmup = options.penaltyWarmupSteps;
  const plan: StepPlan = {
    done,
    report: done % options.reportEvery === 0 || done === options.totalSteps,
    scheme: options.prefixes,
    decoderPrefixes: options.decoderPrefixes,
    activation: sae.config.activation,
    lambda: options.penaltyCoefficient * (warmup > 0 ? Math.min(1, done / warmup) : 1),
    learningRate: options.learningRate * scheduleFactor(options.schedule, step, options.totalSteps),
    gradClipNorm: options.gradClipNorm,
    keepResidual: false,
    keepContributions: false,
    readMetrics: false,
    freshDead: false,
    resting: new Set(),
  };
  for (const [, part] of activeParts(session, plan)) part.plan?.(plan);
  return plan;
}
