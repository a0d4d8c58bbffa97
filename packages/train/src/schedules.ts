/**
 * Schedules: a factor as a function of the step, written as plain data so that a checkpoint can hold it.
 *
 * `step` counts from 0. Every factor is clamped: past the end of the run it keeps its last value. (The write-up's
 * reference code subtracts the wrong term in its cool-down, so its factor turns negative shortly after the end.)
 */

/** A factor that multiplies a learning rate, a penalty coefficient or any other base value. */
export type Schedule =
  | { readonly kind: 'constant'; readonly warmupSteps?: number }
  /** Linear from 1 to `endFactor` (default 0) after the warm-up. */
  | { readonly kind: 'linear'; readonly warmupSteps?: number; readonly endFactor?: number }
  /** Half a cosine from 1 to `endFactor` (default 0) after the warm-up. */
  | { readonly kind: 'cosine'; readonly warmupSteps?: number; readonly endFactor?: number }
  /** Warm-up, stable, decay: 1 until the last `decayFraction` (default .2) of the steps, then linear to `endFactor` (default .1). */
  | {
      readonly kind: 'wsd';
      readonly warmupSteps?: number;
      readonly decayFraction?: number;
      readonly endFactor?: number;
    };

/** Linear warm-up from 0 (at step 0) to 1 (at step `warmupSteps`), then 1. */
export function constantSchedule(options: { warmupSteps?: number } = {}): Schedule {
  return { kind: 'constant', ...options };
}

/** Warm-up, then a straight line to `endFactor` at the last step. */
export function linearSchedule(options: { warmupSteps?: number; endFactor?: number } = {}): Schedule {
  return { kind: 'linear', ...options };
}

/** Warm-up, then half a cosine to `endFactor` at the last step. */
export function cosineSchedule(options: { warmupSteps?: number; endFactor?: number } = {}): Schedule {
  return { kind: 'cosine', ...options };
}

/** Warm-up, stable, decay: the write-up's schedule (100 steps up, the last 20 % down to a tenth). */
export function wsdSchedule(
  options: { warmupSteps?: number; decayFraction?: number; endFactor?: number } = {},
): Schedule {
  return { kind: 'wsd', ...options };
}

/**
 * The factor of `schedule` at `step` (from 0) of a run of `totalSteps`.
 * The warm-up and the decay are multiplied, so a run shorter than its warm-up still ends low.
 */
export function scheduleFactor(schedule: Schedule, step: number, totalSteps: number): number {
  const warmupSteps = schedule.warmupSteps ?? 0;
  const warmup = warmupSteps > 0 ? Math.min(1, step / warmupSteps) : 1;
  return warmup * decayFactor(schedule, step, totalSteps);
}

function decayFactor(schedule: Schedule, step: number, totalSteps: number): number {
  if (schedule.kind === 'constant') return 1;
  const end = schedule.endFactor ?? (schedule.kind === 'wsd' ? 0.1 : 0);
  const start =
    schedule.kind === 'wsd'
      ? totalSteps * (1 - (schedule.decayFraction ?? 0.2))
      : (schedule.warmupSteps ?? 0);
  const length = totalSteps - start;
  const progress =
    length > 0 ? Math.min(1, Math.max(0, (step - start) / length)) : step >= totalSteps ? 1 : 0;
  if (schedule.kind === 'cosine') return end + (1 - end) * 0.5 * (1 + Math.cos(Math.PI * progress));
  return 1 - (1 - end) * progress;
}

/** A `k` that falls linearly from `from` to `to` over the first `steps` steps (TopK and BatchTopK start easier with a larger k). */
export interface KAnnealing {
  readonly from: number;
  readonly to: number;
  readonly steps: number;
}

/** The integer k at `step`: `from` at step 0, `to` from step `steps` on. */
export function annealedK(annealing: KAnnealing, step: number): number {
  const progress = annealing.steps > 0 ? Math.min(1, step / annealing.steps) : 1;
  return Math.round(annealing.from + (annealing.to - annealing.from) * progress);
}

/** One clear error for a schedule that makes no sense; `name` is the option it came from. */
export function checkSchedule(schedule: Schedule, name: string): void {
  const kinds = ['constant', 'linear', 'cosine', 'wsd'];
  if (!kinds.includes(schedule.kind)) {
    throw new RangeError(
      `${name}: unknown schedule kind ${JSON.stringify(schedule.kind)}; use one of ${kinds.join(', ')}`,
    );
  }
  const { warmupSteps } = schedule;
  if (warmupSteps !== undefined && !(Number.isInteger(warmupSteps) && warmupSteps >= 0)) {
    throw new RangeError(`${name}: warmupSteps must be a whole number of steps ≥ 0, got ${warmupSteps}`);
  }
  if (schedule.kind === 'constant') return;
  const { endFactor } = schedule;
  if (endFactor !== undefined && !(endFactor >= 0 && Number.isFinite(endFactor))) {
    throw new RangeError(`${name}: endFactor must be a finite number ≥ 0, got ${endFactor}`);
  }
  if (schedule.kind === 'wsd') {
    const { decayFraction } = schedule;
    if (decayFraction !== undefined && !(decayFraction >= 0 && decayFraction <= 1)) {
      throw new RangeError(`${name}: decayFraction must lie in [0, 1], got ${decayFraction}`);
    }
  }
}
