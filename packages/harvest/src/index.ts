/**
 * Activations out of any ONNX transformer, and reconstructions back in.
 *
 * Runs wherever onnxruntime does; files, the Hugging Face hub and the Brown corpus are in `@msae/harvest/node`.
 *
 * @packageDocumentation
 */
export type { Context, ContextBatch, ContextOptions, Documents, TokenDocument } from './contexts.ts';
export { contextBatches } from './contexts.ts';
export { type FeedPlan, feedPlan, type PaddedBatch } from './feeds.ts';
export { type HarvestedBatch, type HarvestOptions, harvest } from './harvest.ts';
export {
  type HarvestProgress,
  type HarvestResult,
  type HarvestToStoresOptions,
  harvestToStores,
} from './harvestToStores.ts';
export {
  type OpenModelOptions,
  type OpenSession,
  openModel,
  type TapPoint,
  type TransformerModel,
} from './model.ts';
export type { Graph } from './onnx/graph.ts';
export type { Part, TapRole } from './onnx/transformerParts.ts';
export type { OnnxRuntime, OnnxTensor, Session, SessionOptions, TensorInfo } from './runtime.ts';
export {
  evaluateSplice,
  type Reconstruct,
  type Recovered,
  type SplicedLoss,
  type SplicedModel,
  type SpliceOptions,
  type SpliceReport,
  spliceModel,
} from './splice.ts';
export { decodeText, textDocuments } from './textDocuments.ts';
export { createTokenizer, type TextTokenizer } from './tokenizer.ts';
export { type Unembedding, unembedding } from './unembedding.ts';
