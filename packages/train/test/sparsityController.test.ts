import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createSparsityController } from '../src/parts/sparsityController.ts';

interface Recorded {
  avg_l0: number[];
  sparsity_scale: number[];
  target_l0: number;
  starting_sparsity_scale: number;
  controller_warmup_steps: number;
  controller_eps: number;
}
const runs = JSON.parse(
  readFileSync(new URL('./fixtures/reference-trajectory.json', import.meta.url), 'utf8'),
) as Recorded[];

describe('the reference rule', () => {
  it.each(runs.map((run, i) => [i, run] as const))('gives the recorded coefficients of run %i', (_i, run) => {
    const controller = createSparsityController({
      kind: 'reference',
      targetL0: run.target_l0,
      start: run.starting_sparsity_scale,
      rate: run.controller_eps,
      warmupSteps: run.controller_warmup_steps,
    });
    run.avg_l0.forEach((l0, step) => {
      expect(controller.lambda()).toBeCloseTo(run.sparsity_scale[step] as number, 12);
      controller.observe(l0);
    });
  });
});

/** A stand-in for a network: L0 falls as a power of λ, and follows with a delay of about 30 steps. */
function settlingSteps(kind: 'reference' | 'pi', noise = 0): number {
  const target = 20;
  const controller = createSparsityController({ kind, targetL0: target, start: 0.01 });
  let l0 = 400;
  let settled = 0;
  for (let step = 1; step <= 60_000; step++) {
    const equilibrium = 20 * (0.1 / controller.lambda()) ** 0.7;
    l0 += (equilibrium - l0) / 30;
    controller.observe(l0 * (1 + noise * Math.sin(step * 12.9898)));
    if (Math.abs(l0 / target - 1) > 0.05) settled = step;
  }
  return settled;
}

describe('the PI rule', () => {
  it('settles within 5 % at least 5 times sooner than the reference rule', () => {
    const pi = settlingSteps('pi');
    expect(pi).toBeLessThan(1500);
    expect(pi * 5).toBeLessThan(settlingSteps('reference'));
  });

  it('still settles when the measured L0 is noisy', () => {
    expect(settlingSteps('pi', 0.2)).toBeLessThan(2000);
  });

  it('keeps λ inside its bounds when the target cannot be reached', () => {
    const controller = createSparsityController({ kind: 'pi', targetL0: 5, min: 1e-3, max: 2 });
    for (let i = 0; i < 5000; i++) controller.observe(500);
    expect(controller.lambda()).toBe(2);
    for (let i = 0; i < 5000; i++) controller.observe(0);
    expect(controller.lambda()).toBe(1e-3);
  });
});

describe('both rules', () => {
  it.each(['reference', 'pi'] as const)('%s continues bit for bit from its state', (kind) => {
    const options = { kind, targetL0: 3, start: 0.1, warmupSteps: 7 };
    const a = createSparsityController(options);
    const b = createSparsityController(options);
    const l0 = (i: number): number => 3 + 2 * Math.sin(i);
    for (let i = 0; i < 20; i++) a.observe(l0(i));
    b.restore(JSON.parse(JSON.stringify(a.state())));
    for (let i = 20; i < 60; i++) expect(b.observe(l0(i))).toBe(a.observe(l0(i)));
  });

  it('refuse a target that cannot be', () => {
    expect(() => createSparsityController({ kind: 'pi', targetL0: 0 })).toThrow(
      'targetL0: expected a number > 0, got 0',
    );
    expect(() => createSparsityController({ kind: 'pi', targetL0: 2, smoothing: 1 })).toThrow(
      'smoothing: expected a number ≥ 0 and < 1, got 1',
    );
    expect(() => createSparsityController({ kind: 'x', targetL0: 2 } as never)).toThrow(
      'expected one of reference, pi, got "x"',
    );
  });
});
