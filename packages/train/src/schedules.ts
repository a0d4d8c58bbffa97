/**
 * Schedules: a factor as a function of the step, written as plain data so that a checkpoint can hold it.
 *
 * `step` counts from 0. Every factor is clamped: past the end of the run it keeps its last value. (The write-up's
 * reference code subtracts the wrong term in its cool-down, so its factor turns negative shortly after the end.)
 */
import { literal, number, object, optional, type Schema, variant, whole } from '@msae/schema';

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

const warmupSteps = optional(whole({ min: 0, help: 'steps from 0 to the full rate' }));
const endFactor = optional(number({ min: 0, help: 'factor of the last step' }));
type Kind<K extends Schedule['kind']> = Extract<Schedule, { kind: K }>;

/** The option `schedule`. */
export const scheduleSchema: Schema<Schedule> = variant<Schedule>(
  'kind',
  {
    constant: object<Kind<'constant'>>({ kind: literal('constant'), warmupSteps }),
    linear: object<Kind<'linear'>>({ kind: literal('linear'), warmupSteps, endFactor }),
    cosine: object<Kind<'cosine'>>({ kind: literal('cosine'), warmupSteps, endFactor }),
    wsd: object<Kind<'wsd'>>({
      kind: literal('wsd'),
      warmupSteps,
      decayFraction: optional(number({ min: 0, max: 1, help: 'share of the steps in which it falls' })),
      endFactor,
    }),
  },
  { help: 'how the learning rate rises and falls' },
);
