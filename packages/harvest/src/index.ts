/**
 * Activations out of any ONNX transformer, and reconstructions back in.
 *
 * Runs wherever onnxruntime does; files and the Hugging Face hub are in `@msae/harvest/node`.
 *
 * @packageDocumentation
 */
export type { TokenDocument } from './contexts.ts';
export { evaluateSplice, type SpliceReport } from './evaluateSplice.ts';
export { type HarvestedBatch, harvest } from './harvest.ts';
export { arraysOf, harvestArrays, type InputArray } from './harvestArrays.ts';
export { type HarvestToStoresOptions, harvestToStores, harvestToStoresSchema } from './harvestToStores.ts';
export { openModel, type TapPoint, type TransformerModel } from './model.ts';
export type { OnnxRuntime } from './runtime.ts';
export { spliceModel } from './splice.ts';
export { type SaeSplice, spliceSaes } from './spliceSaes.ts';
export { textDocuments } from './textDocuments.ts';
export { createTokenizer, type TextTokenizer } from './tokenizer.ts';
export { unembedding } from './unembedding.ts';
export type { Architecture, Rope } from './weights/architecture.ts';
export type { WeightFolder } from './weights/folder/folderSource.ts';
export { addedName, type Edits } from './weights/graph/edits.ts';
export {
  filesFolder,
  type OpenWeightsOptions,
  openWeights,
  openWeightsSchema,
  urlFolder,
} from './weights/openWeights.ts';
export type { WeightsModel, WeightsSessionOptions } from './weights/weightsModel.ts';
