/**
 * For those who write a backend or a kernel: the conformance checks, the golden runner and `toBeAllClose`. Framework-free:
 * a check throws where the backend is wrong.
 *
 * @module
 */
export { flatten, type Numbers, toBeAllClose, worstError } from './allClose.ts';
export { type ConformanceCheck, conformanceChecks } from './conformance.ts';
export {
  type GoldenCase,
  type GoldenResult,
  goldenSae,
  goldenTolerance,
  parseGolden,
  runGoldenCase,
  type StepFunction,
} from './golden.ts';
export { sparseConformanceChecks } from './sparseConformance.ts';
