/**
 * Sparsity controllers: they move the penalty coefficient λ until the mean number of active latents (L0) is the target.
 *
 * Both see one L0 a report and return the λ of the next step. Their state is plain JSON, so a checkpoint holds it.
 */
import { activationTraits } from '@msae/core';
import { isPenalised } from '@msae/core/backend';
import {
  check,
  literal,
  msaeError,
  number,
  object,
  optional,
  type Schema,
  variant,
  whole,
} from '@msae/schema';
import type { PartDefinition, SavedPart } from './definition.ts';

export type SparsityControllerOptions =
  /**
   * The write-up's reference rule: λ climbs linearly to `start` over `warmupSteps`, then every step multiplies it by
   * 1 + `rate` when L0 is above the target and by 1 − `rate` when it is not. Slow: a factor of 2 takes 2,300 steps.
   */
  | {
      readonly kind: 'reference';
      readonly targetL0: number;
      readonly start?: number;
      readonly rate?: number;
      readonly warmupSteps?: number;
    }
  /**
   * A PI controller in velocity form on log λ, with the error log(L0 / target) of a running average of L0:
   * Δ log λ = `proportional` · Δe + `integral` · e, each step's change limited to ± `maxChange`.
   * Velocity form has no integral to wind up; λ stays within [`min`, `max`].
   */
  | {
      readonly kind: 'pi';
      readonly targetL0: number;
      readonly start?: number;
      readonly warmupSteps?: number;
      readonly proportional?: number;
      readonly integral?: number;
      readonly smoothing?: number;
      readonly maxChange?: number;
      readonly min?: number;
      readonly max?: number;
    };

/** What a checkpoint keeps of a controller. */
export interface SparsityControllerState {
  readonly lambda: number;
  readonly observed: number;
  readonly averageL0: number | null;
  readonly previousError: number | null;
}

export interface SparsityController {
  readonly targetL0: number;
  /** λ for the next step. */
  lambda(): number;
  /** Report the L0 of `steps` (default 1) steps; their mean if more than one. Returns the new λ. */
  observe(l0: number, steps?: number): number;
  state(): SparsityControllerState;
  restore(state: SparsityControllerState): void;
}

/** Make a controller. @throws MsaeError `option` for a target or a rate that cannot work. */
export function createSparsityController(given: SparsityControllerOptions): SparsityController {
  const options = check(sparsityControllerSchema, given, 'sparsityController');
  return options.kind === 'reference' ? referenceController(options) : piController(options);
}

type ReferenceOptions = Extract<SparsityControllerOptions, { kind: 'reference' }>;
type PiOptions = Extract<SparsityControllerOptions, { kind: 'pi' }>;

function referenceController(options: ReferenceOptions): SparsityController {
  const { targetL0, start = 0.2, rate = 0.0003, warmupSteps = 0 } = options;
  let observed = 0;
  let scale = start;
  const lambda = (): number => (observed < warmupSteps ? (start * (observed + 1)) / warmupSteps : scale);
  return {
    targetL0,
    lambda,
    observe(l0, steps = 1) {
      for (let i = 0; i < steps; i++) {
        if (observed >= warmupSteps) scale *= l0 > targetL0 ? 1 + rate : 1 - rate;
        observed++;
      }
      return lambda();
    },
    state: () => ({ lambda: scale, observed, averageL0: null, previousError: null }),
    restore(state) {
      scale = state.lambda;
      observed = state.observed;
    },
  };
}

function piController(options: PiOptions): SparsityController {
  const { targetL0, start = 0.01, warmupSteps = 0 } = options;
  const { proportional = 0.6, integral = 0.01, smoothing = 0.9, maxChange = 0.05 } = options;
  const { min = 1e-8, max = 1e4 } = options;
  let observed = 0;
  let scale = start;
  let averageL0: number | null = null;
  let previousError: number | null = null;
  const lambda = (): number => (observed < warmupSteps ? (start * (observed + 1)) / warmupSteps : scale);
  return {
    targetL0,
    lambda,
    observe(l0, steps = 1) {
      const keep = smoothing ** steps;
      averageL0 = averageL0 === null ? l0 : keep * averageL0 + (1 - keep) * l0;
      // An L0 of 0 would be an error of −∞; a hundredth of the target is already far enough below it.
      const error = Math.log(Math.max(averageL0, targetL0 / 100) / targetL0);
      if (observed >= warmupSteps) {
        const change = integral * steps * error + proportional * (error - (previousError ?? error));
        const limit = maxChange * steps;
        scale *= Math.exp(Math.min(limit, Math.max(-limit, change)));
        scale = Math.min(max, Math.max(min, scale));
      }
      previousError = error;
      observed += steps;
      return lambda();
    },
    state: () => ({ lambda: scale, observed, averageL0, previousError }),
    restore(state) {
      scale = state.lambda;
      observed = state.observed;
      averageL0 = state.averageL0;
      previousError = state.previousError;
    },
  };
}

const common = {
  targetL0: number({ above: 0, help: 'mean number of active latents to steer for' }),
  start: optional(number({ above: 0, help: 'first λ' })),
  warmupSteps: optional(whole({ min: 0, help: 'steps over which λ climbs to its first value' })),
};

export const sparsityControllerSchema: Schema<SparsityControllerOptions> = variant<SparsityControllerOptions>(
  'kind',
  {
    reference: object<ReferenceOptions>({
      kind: literal('reference'),
      ...common,
      rate: optional(number({ above: 0, help: 'factor of a step: 1 ± rate' })),
    }),
    pi: object<PiOptions>({
      kind: literal('pi'),
      ...common,
      proportional: optional(number({ above: 0, help: 'gain on the change of log(L0 / target)' })),
      integral: optional(number({ above: 0, help: 'gain on log(L0 / target)' })),
      smoothing: optional(number({ min: 0, below: 1, help: 'share of the old average L0 kept' })),
      maxChange: optional(number({ above: 0, help: 'largest change of log λ in a step' })),
      min: optional(number({ above: 0, help: 'least λ' })),
      max: optional(number({ above: 0, help: 'largest λ' })),
    }),
  },
  { help: 'moves λ until L0 is on target' },
);

export const sparsityControllerPart: PartDefinition<SparsityControllerOptions> = {
  name: 'sparsityController',
  schema: sparsityControllerSchema,
  start(given, run) {
    const { sae, options } = run;
    const { activation, penalty, nLatents } = sae.config;
    const { fixedL0, learnsThreshold } = activationTraits(activation);
    const steersL0 = learnsThreshold !== undefined && !isPenalised(penalty);
    const refuse = (message: string): never => {
      throw msaeError('option', message);
    };
    if (given.targetL0 > nLatents) {
      refuse(
        `sparsityController.targetL0 is ${given.targetL0}, but the SAE has only ${nLatents} latents; lower the target or raise nLatents`,
      );
    }
    if (fixedL0 !== undefined) {
      refuse(
        `sparsityController: ${activation.kind} fixes L0 at k = ${fixedL0}; leave the controller out, or change k`,
      );
    }
    if (!isPenalised(penalty) && !steersL0) {
      refuse(
        'sparsityController: the SAE has no penalty to control; create it with a penalty, for example l1() or log()',
      );
    }
    if (options.penaltyCoefficient > 0 || options.penaltyWarmupSteps > 0) {
      refuse(
        'penaltyCoefficient and penaltyWarmupSteps do nothing beside a sparsityController; use its start and warmupSteps',
      );
    }
    const controller = createSparsityController(given);
    const isDue = (done: number): boolean => done % options.controlEvery === 0;
    if (steersL0) run.steers = 'l0';
    return {
      plan(plan) {
        plan.lambda = controller.lambda();
        if (isDue(plan.done)) plan.readMetrics = true;
      },
      observe({ numbers }) {
        if (numbers !== null && isDue(run.step)) controller.observe(numbers.l0, options.controlEvery);
      },
      save: () => ({ json: controller.state() }),
      restore: ({ json }: SavedPart) => {
        if (json !== null) controller.restore(json as SparsityControllerState);
      },
    };
  },
};
