/**
 * Measures sparse autoencoders. Metrics are streaming accumulators and pure functions over plain typed arrays, summed in float64;
 * only `evaluateSae` touches tfjs.
 */
export { type AbsorptionOptions, type AbsorptionResult, absorption } from './absorption.ts';
export {
  type ActivationHistogram,
  type ActivationHistogramAccumulator,
  activationHistograms,
} from './activation-histogram.ts';
export { type ActiveRows, activeRows } from './active-rows.ts';
export { type Assignment, assignMaximum } from './assignment.ts';
export {
  type Context,
  type ContextCollector,
  type ContextOptions,
  contextCollector,
  type TokenBatch,
} from './contexts.ts';
export {
  type Cooccurrence,
  type CooccurrenceAccumulator,
  type CooccurrenceOptions,
  cooccurrenceAccumulator,
} from './cooccurrence.ts';
export { type Edge, type Forest, type ForestOptions, hierarchyEdges, latentForest } from './forest.ts';
export {
  type DetectionScore,
  type GroundTruthMetrics,
  type GroundTruthOptions,
  groundTruthMetrics,
  type TreeMetrics,
} from './ground-truth.ts';
export {
  type LabelAbsorption,
  type LabelAbsorptionOptions,
  type LabelAbsorptionResult,
  labelAbsorption,
} from './label-absorption.ts';
export { type LabelProfileAccumulator, type LabelShare, labelProfiles } from './label-profile.ts';
export { fitLogistic, type LogisticModel, type LogisticOptions, logisticScores } from './logistic.ts';
export { type LogitEffect, type LogitEffects, logitEffects } from './logit-effects.ts';
export { type LatentMatch, type MatchOptions, matchLatents } from './match-latents.ts';
export { type Matrix, matrix, type Numbers } from './matrix.ts';
export type { ProbeSample, TaskOptions } from './probe-sample.ts';
export {
  type ReconstructionAccumulator,
  type ReconstructionMetrics,
  reconstructionAccumulator,
} from './reconstruction.ts';
export { ceRecovered, klRecovered, type Recovered, type SplicedLosses } from './recovered.ts';
export { selfSimilarity } from './self-similarity.ts';
export { fitSparseLogistic, type SparseLogisticOptions } from './sparse-logistic.ts';
export { type SparseProbingOptions, type SparseProbingResult, sparseProbing } from './sparse-probing.ts';
export {
  type DensityHistogram,
  densityHistogram,
  type SparsityAccumulator,
  type SparsityMetrics,
  sparsityAccumulator,
} from './sparsity.ts';
