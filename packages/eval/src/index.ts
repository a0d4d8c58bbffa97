/**
 * Measures sparse autoencoders. Metrics are streaming accumulators and pure functions over plain typed arrays, summed in float64;
 * no metric needs tfjs.
 */
export { type Assignment, assignMaximum } from './assignment.ts';
export {
  type DetectionScore,
  type GroundTruthMetrics,
  type GroundTruthOptions,
  groundTruthMetrics,
  type TreeMetrics,
} from './ground-truth.ts';
export { type LatentMatch, type MatchOptions, matchLatents } from './match-latents.ts';
export { type Matrix, matrix, type Numbers } from './matrix.ts';
export { selfSimilarity } from './self-similarity.ts';
