import type { PenaltyKind } from '../contract.ts';

/** Value and slope of a penalty at s = |f|·‖d‖; see the module comment of core's `penalty.ts` for the formulas. */
export interface PenaltyFunctions {
  /** penalty(s), and penalty(0) already subtracted: what an active latent adds beyond an inactive one */
  extra(s: number): number;
  slope(s: number): number;
  /** what every latent below p contributes when inactive */
  readonly inactive: number;
}

export function penaltyFunctions(
  kind: PenaltyKind,
  epsilon: number,
  subtractLogEpsilon: boolean,
): PenaltyFunctions {
  switch (kind) {
    case 'none':
      return { extra: () => 0, slope: () => 0, inactive: 0 };
    case 'l1':
      return { extra: (s) => s, slope: () => 1, inactive: 0 };
    case 'tanh':
      return { extra: (s) => Math.tanh(s), slope: (s) => 1 - Math.tanh(s) ** 2, inactive: 0 };
    case 'log': {
      const base = Math.log(epsilon);
      return {
        extra: (s) => Math.log(s + epsilon) - base,
        slope: (s) => 1 / (s + epsilon),
        inactive: subtractLogEpsilon ? 0 : base,
      };
    }
    case 'sqrt': {
      const base = Math.sqrt(epsilon);
      return {
        extra: (s) => Math.sqrt(s + epsilon) - base,
        slope: (s) => 0.5 / Math.sqrt(s + epsilon),
        inactive: base,
      };
    }
  }
}
