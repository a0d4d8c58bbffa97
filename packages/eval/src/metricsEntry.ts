/**
 * Metrics of sparse autoencoders over plain typed arrays: streaming accumulators and pure functions, summed in float64. Nothing here
 * loads tfjs.
 */
export { type AbsorptionOptions, type AbsorptionResult, absorption } from './absorption.ts';
export {
  type ActivationHistogram,
  type ActivationHistogramAccumulator,
  activationHistograms,
} from './activationHistogram.ts';
export { type ActiveRows, activeRows } from './activeRows.ts';
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
export { decodeActive } from './decodeActive.ts';
export { type DenseProbe, denseProbes } from './denseProbes.ts';
export {
  type Evaluation,
  type EvaluationOptions,
  type EvaluationRow,
  evaluateLatents,
  type LatentSource,
  type SaeEvaluation,
} from './evaluateLatents.ts';
export { evaluationToJson } from './evaluation.ts';
export type { EvaluationBatch, LabelSet } from './evaluationBatch.ts';
export { type Edge, type Forest, type ForestOptions, hierarchyEdges, latentForest } from './forest.ts';
export {
  type DetectionScore,
  type GroundTruthMetrics,
  type GroundTruthOptions,
  groundTruthMetrics,
  type TreeMetrics,
} from './groundTruth.ts';
export {
  type LabelAbsorption,
  type LabelAbsorptionOptions,
  type LabelAbsorptionResult,
  labelAbsorption,
} from './labelAbsorption.ts';
export { type LabelProfileAccumulator, type LabelShare, labelProfiles } from './labelProfile.ts';
export { fitLogistic, type LogisticModel, type LogisticOptions, logisticScores } from './logistic.ts';
export { type LogitEffect, type LogitEffects, logitEffects } from './logitEffects.ts';
export { type LatentMatch, type MatchOptions, matchLatents } from './matchLatents.ts';
export { type Matrix, matrix, type Numbers } from './matrix.ts';
export type { ProbeSample, TaskOptions } from './probeSample.ts';
export {
  type ReconstructionAccumulator,
  type ReconstructionMetrics,
  reconstructionAccumulator,
} from './reconstruction.ts';
export { ceRecovered, klRecovered, type Recovered, type SplicedLosses } from './recovered.ts';
export { selfSimilarity } from './selfSimilarity.ts';
export { fitSparseLogistic, type SparseLogisticOptions } from './sparseLogistic.ts';
export { type SparseProbingOptions, type SparseProbingResult, sparseProbing } from './sparseProbing.ts';
export {
  type DensityHistogram,
  densityHistogram,
  type SparsityAccumulator,
  type SparsityMetrics,
  sparsityAccumulator,
} from './sparsity.ts';
export type { Metric, MetricBatch, MetricContext, TableRow } from './metrics/definition.ts';
export type { LatentLabels } from './metrics/labels.ts';
export type { PrefixEvaluation } from './metrics/prefixes.ts';
export type { LabelProbes } from './metrics/probes.ts';
export { type StandardMetricOptions, standardMetrics } from './metrics/standard.ts';
