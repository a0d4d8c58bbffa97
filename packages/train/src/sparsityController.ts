/**
 * Sparsity controllers: they move the penalty coefficient λ until the mean number of active latents (L0) is the target.
 *
 * Both see one L0 a report and return the λ of the next step. Their state is plain JSON, so a checkpoint holds it.
 */

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

/** Make a controller. Throws a RangeError for a target or a rate that cannot work. */
export function createSparsityController(options: SparsityControllerOptions): SparsityController {
  check(options);
  return options.kind === 'reference' ? referenceController(options) : piController(options);
}

function check(options: SparsityControllerOptions): void {
  if (options.kind !== 'reference' && options.kind !== 'pi') {
    throw new RangeError(
      `sparsityController: unknown kind ${JSON.stringify((options as { kind: unknown }).kind)}; use 'reference' or 'pi'`,
    );
  }
  const positive = (name: string, value: number | undefined): void => {
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
      throw new RangeError(`sparsityController.${name} must be a finite number > 0, got ${value}`);
    }
  };
  positive('targetL0', options.targetL0);
  positive('start', options.start);
  if (
    options.warmupSteps !== undefined &&
    !(Number.isInteger(options.warmupSteps) && options.warmupSteps >= 0)
  ) {
    throw new RangeError(
      `sparsityController.warmupSteps must be a whole number ≥ 0, got ${options.warmupSteps}`,
    );
  }
  if (options.kind === 'reference') {
    positive('rate', options.rate);
  } else {
    positive('proportional', options.proportional);
    positive('integral', options.integral);
    positive('maxChange', options.maxChange);
    positive('min', options.min);
    positive('max', options.max);
    const { smoothing } = options;
    if (smoothing !== undefined && !(smoothing >= 0 && smoothing < 1)) {
      throw new RangeError(`sparsityController.smoothing must lie in [0, 1), got ${smoothing}`);
    }
  }
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
