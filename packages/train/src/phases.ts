/** Phases: a run in parts, each of which changes some options from a fraction of the steps on. */
import type { PrefixScheme } from '@msae/sampler';

/** What changes from `from` on. A later phase starts from the run's options again, not from the phase before. */
export interface Phase {
  /** Fraction of `totalSteps` in [0, 1) at which the phase starts. */
  readonly from: number;
  readonly prefixes?: PrefixScheme;
  readonly decoderPrefixes?: 'all' | 'full';
  /** A fixed λ: the controller rests while it holds. */
  readonly penaltyCoefficient?: number;
  /** Multiplies the scheduled learning rate. */
  readonly learningRateFactor?: number;
  /** Replaces `gradClipNorm`. */
  readonly gradClipNorm?: number | null;
  /** `false` stops the permutation of latents. */
  readonly permutation?: false;
}

/** The phase at `step` (from 0), or null before the first one. Expects phases checked by {@link checkPhases}. */
export function phaseAt(phases: readonly Phase[], step: number, totalSteps: number): Phase | null {
  let current: Phase | null = null;
  for (const phase of phases) if (step >= Math.round(phase.from * totalSteps)) current = phase;
  return current;
}

/** One clear error for phases out of range or out of order. */
export function checkPhases(phases: readonly Phase[]): void {
  let previous = -1;
  phases.forEach((phase, i) => {
    if (!(phase.from >= 0 && phase.from < 1)) {
      throw new RangeError(`phases[${i}].from must be a fraction of the run in [0, 1), got ${phase.from}`);
    }
    if (phase.from <= previous) {
      throw new RangeError(
        `phases[${i}].from is ${phase.from}, which does not come after ${previous}; sort phases by their start`,
      );
    }
    previous = phase.from;
  });
}
