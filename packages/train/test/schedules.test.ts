import { check } from '@msae/schema';
import { describe, expect, it } from 'vitest';
import { annealedK } from '../src/parts/kAnnealing.ts';
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  scheduleFactor,
  scheduleSchema,
  wsdSchedule,
} from '../src/schedules.ts';

describe('scheduleFactor', () => {
  it('is the reference warm-up, stable, decay: 0, up to 1, then down to a tenth', () => {
    const wsd = wsdSchedule({ warmupSteps: 100, decayFraction: 0.2, endFactor: 0.1 });
    expect(scheduleFactor(wsd, 0, 1000)).toBe(0);
    expect(scheduleFactor(wsd, 50, 1000)).toBe(0.5);
    expect(scheduleFactor(wsd, 100, 1000)).toBe(1);
    expect(scheduleFactor(wsd, 800, 1000)).toBe(1);
    expect(scheduleFactor(wsd, 900, 1000)).toBeCloseTo(0.55, 12);
    expect(scheduleFactor(wsd, 1000, 1000)).toBeCloseTo(0.1, 12);
  });

  it('is clamped past the end (the reference turns negative there)', () => {
    for (const schedule of [wsdSchedule({ decayFraction: 0.2 }), cosineSchedule(), linearSchedule()]) {
      const last = scheduleFactor(schedule, 1000, 1000);
      for (const step of [1023, 1100, 1200, 1e6]) expect(scheduleFactor(schedule, step, 1000)).toBe(last);
      expect(last).toBeGreaterThanOrEqual(0);
    }
  });

  it('cosine and linear pass through the middle', () => {
    expect(scheduleFactor(cosineSchedule(), 500, 1000)).toBeCloseTo(0.5, 12);
    expect(scheduleFactor(cosineSchedule({ endFactor: 0.2 }), 250, 1000)).toBeCloseTo(
      0.2 + 0.8 * 0.5 * (1 + Math.SQRT1_2),
      12,
    );
    expect(scheduleFactor(linearSchedule({ warmupSteps: 200, endFactor: 0.5 }), 600, 1000)).toBeCloseTo(
      0.75,
      12,
    );
    expect(scheduleFactor(constantSchedule({ warmupSteps: 4 }), 1, 10)).toBe(0.25);
    expect(scheduleFactor(constantSchedule(), 0, 10)).toBe(1);
  });

  it('does not divide by zero in a run shorter than its warm-up', () => {
    const factors = [0, 1, 2, 3].map((step) => scheduleFactor(linearSchedule({ warmupSteps: 10 }), step, 3));
    for (const factor of factors) expect(Number.isFinite(factor)).toBe(true);
  });
});

describe('annealedK', () => {
  it('falls linearly and stops', () => {
    const annealing = { from: 40, to: 10, steps: 100 };
    expect([0, 50, 100, 1000].map((step) => annealedK(annealing, step))).toEqual([40, 25, 10, 10]);
    expect(annealedK({ from: 40, to: 10, steps: 0 }, 0)).toBe(10);
  });
});

describe('the option', () => {
  it('names the option and the value', () => {
    const refused = (schedule: object): string => {
      try {
        check(scheduleSchema, schedule, 'schedule');
      } catch (error) {
        return (error as Error).message;
      }
      return 'nothing';
    };
    expect(refused({ kind: 'cosine', warmupSteps: -1 })).toBe(
      'schedule: warmupSteps: expected a whole number ≥ 0, got -1',
    );
    expect(refused({ kind: 'wsd', decayFraction: 1.5 })).toBe(
      'schedule: decayFraction: expected a number ≥ 0 and ≤ 1, got 1.5',
    );
    expect(refused({ kind: 'steps' })).toContain(
      'expected one of constant, linear, cosine, wsd, got "steps"',
    );
  });
});
