/** Phases: a run in parts, each of which changes some options from a fraction of the steps on. */
import type { PrefixSchemeData } from '@msae/sampler';
import {
  choice,
  list,
  literal,
  msaeError,
  nullable,
  number,
  object,
  optional,
  type Schema,
} from '@msae/schema';
import { schemeOf, schemeSchema } from '../prefixOption.ts';
import type { PartDefinition } from './definition.ts';

/** What changes from `from` on. A later phase starts from the run's options again, not from the phase before. */
export interface Phase {
  /** Fraction of `totalSteps` in [0, 1) at which the phase starts. */
  readonly from: number;
  /** A scheme, or its data. */
  readonly prefixes?: PrefixSchemeData;
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

/** The phase at `step` (from 0), or null before the first one. */
export function phaseAt(phases: readonly Phase[], step: number, totalSteps: number): Phase | null {
  let current: Phase | null = null;
  for (const phase of phases) if (step >= Math.round(phase.from * totalSteps)) current = phase;
  return current;
}

const phaseSchema: Schema<Phase> = object<Phase>({
  from: number({ min: 0, below: 1, help: 'fraction of the run at which it starts' }),
  prefixes: optional(schemeSchema),
  decoderPrefixes: optional(choice(['all', 'full'])),
  penaltyCoefficient: optional(number({ min: 0, help: 'a fixed λ: the controller rests' })),
  learningRateFactor: optional(number({ min: 0, help: 'multiplies the scheduled learning rate' })),
  gradClipNorm: optional(nullable(number({ above: 0, help: 'replaces gradClipNorm' }))),
  permutation: optional(literal(false, { help: 'false stops the permutation of latents' })),
});

export const phasesPart: PartDefinition<readonly Phase[]> = {
  name: 'phases',
  schema: list(phaseSchema, { help: 'changes of some options at fractions of the run' }),
  start(phases, { options }) {
    let previous = -1;
    const schemes = phases.map(({ from, prefixes }, i) => {
      if (from <= previous) {
        throw msaeError(
          'option',
          `phases[${i}].from is ${from}, which does not come after ${previous}; sort phases by their start`,
        );
      }
      previous = from;
      return prefixes && schemeOf(prefixes);
    });
    return {
      plan(plan) {
        const phase = phaseAt(phases, plan.done - 1, options.totalSteps);
        if (phase === null) return;
        plan.scheme = schemes[phases.indexOf(phase)] ?? plan.scheme;
        plan.decoderPrefixes = phase.decoderPrefixes ?? plan.decoderPrefixes;
        plan.learningRate *= phase.learningRateFactor ?? 1;
        if (phase.gradClipNorm !== undefined) plan.gradClipNorm = phase.gradClipNorm;
        if (phase.permutation === false) plan.resting.add('permutation');
        if (phase.penaltyCoefficient !== undefined) {
          plan.lambda = phase.penaltyCoefficient;
          plan.resting.add('sparsityController');
        }
      },
    };
  },
};
