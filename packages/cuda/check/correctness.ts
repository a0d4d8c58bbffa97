/** Goldens and conformance, dense and sparse, on the current backend. */
import { sparseStep } from '@msae/core';
import {
  type ConformanceCheck,
  conformanceChecks,
  goldenTolerance,
  parseGolden,
  runGoldenCase,
  sparseConformanceChecks,
} from '@msae/core/testing';
import signed from '../../core/test/fixtures/abstopk.json' with { type: 'json' };
import golden from '../../core/test/fixtures/matryoshka-loss.json' with { type: 'json' };

export interface Verdict {
  readonly passed: number;
  readonly failed: readonly string[];
  /** of all goldens */
  readonly worstError: number;
}

export async function checkCorrectness(): Promise<Verdict> {
  const cases = [...parseGolden(golden, 'matryoshka-loss.json'), ...parseGolden(signed, 'abstopk.json')];
  const failed: string[] = [];
  let [passed, worstError] = [0, 0];
  const attempt = async (name: string, run: () => Promise<void>): Promise<void> => {
    try {
      await run();
      passed++;
    } catch (error) {
      failed.push(`${name}: ${(error as Error).message}`);
    }
  };
  for (const item of cases) {
    for (const [kind, step] of [['dense', undefined] as const, ['sparse', sparseStep] as const]) {
      if (step !== undefined && item.activation === 'identity') continue;
      await attempt(`golden ${item.name}, ${kind}`, async () => {
        const { worst, leaked, errors } = await runGoldenCase(item, step);
        worstError = Math.max(worstError, worst);
        if (!(worst < goldenTolerance('cuda'))) throw new Error(JSON.stringify(errors));
        if (leaked !== 0) throw new Error(`${leaked} tensors are left behind`);
      });
    }
  }
  const checks: ConformanceCheck[] = [...conformanceChecks(), ...sparseConformanceChecks()];
  for (const check of checks) await attempt(check.name, () => check.run());
  return { passed, failed, worstError };
}
