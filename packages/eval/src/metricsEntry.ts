/**
 * Metrics of sparse autoencoders over plain typed arrays, summed in float64: an evaluation is a list of them fed by one pass over a
 * stream. Nothing here loads tfjs.
 */
export { type ActiveRows, activeRows } from './activeRows.ts';
export {
  type Evaluation,
  type EvaluationOptions,
  type EvaluationRow,
  evaluateLatents,
  evaluationOptionsSchema,
  type LatentSource,
  type SaeEvaluation,
} from './evaluateLatents.ts';
export { evaluationToJson } from './evaluation.ts';
export type { EvaluationBatch, LabelSet } from './evaluationBatch.ts';
export { groundTruthMetrics } from './groundTruth.ts';
export { type LogitEffects, logitEffects } from './logitEffects.ts';
export { type LatentMatch, matchLatents } from './matchLatents.ts';
export { type Matrix, matrix, type Numbers } from './matrix.ts';
export { contextsMetric } from './metrics/contexts.ts';
export { decoderSimilarityMetric } from './metrics/decoderSimilarity.ts';
export type { Metric, MetricBatch, MetricContext, TableRow } from './metrics/definition.ts';
export { forestMetric } from './metrics/forest.ts';
export { histogramsMetric } from './metrics/histograms.ts';
export { labelsMetric } from './metrics/labels.ts';
export { prefixesMetric } from './metrics/prefixes.ts';
export { probesMetric } from './metrics/probes.ts';
export { reconstructionMetric } from './metrics/reconstruction.ts';
export { sparsityMetric } from './metrics/sparsity.ts';
export { standardMetrics } from './metrics/standard.ts';
export { reconstructionAccumulator } from './reconstruction.ts';
export { densityHistogram } from './sparsity.ts';
