/**
 * Sparse autoencoders in and out of the formats of SAELens, sparsify, dictionary_learning, Gemma Scope, Llama Scope,
 * OpenAI and the write-up's reference code.
 *
 * @packageDocumentation
 */
export type { LoadedSae } from './assemble.ts';
export type { FormatName, Prefixed, TrainingRecord } from './checkpoint.ts';
export { type Folder, filesFolder, memoryFolder } from './folder.ts';
export { type FormatError, isFormatError } from './formatError.ts';
export type { HubLocation } from './hubFolder.ts';
export {
  type InspectSaeOptions,
  inspectSae,
  type SaeInspection,
  type Spread,
  type TensorSummary,
} from './inspectSae.ts';
export { type LoadSaeOptions, loadSae } from './loadSae.ts';
export type { MsaeConfig } from './msae.ts';
export type { SaePlace } from './place.ts';
export { type Preprocessed, type Preprocessing, preprocess } from './preprocess.ts';
export { type SaveSaeOptions, saeFiles, saveSae, type WritableFormat, writableFormats } from './saveSae.ts';
export type { ExportDetails } from './writers/exportable.ts';
export type { SaeFile, WeightDtype } from './writers/saeFile.ts';
