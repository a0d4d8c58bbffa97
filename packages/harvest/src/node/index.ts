/** What of @msae/harvest needs Node: files, the Hugging Face hub, onnxruntime-node and the Brown corpus. */
export {
  type BrownDocument,
  type BrownLabels,
  type BrownTokens,
  baseTag,
  brownLabels,
  brownTokens,
  readBrown,
  universalTag,
} from './brown.ts';
export { downloadModel, type HubOptions } from './hub.ts';
export { loadOnnxRuntime } from './onnxRuntime.ts';
export { type OpenedModel, type OpenModelFileOptions, openModelFile } from './openModelFile.ts';
export { storeFolders } from './storeFolders.ts';
export { readTextFiles, type TextFiles } from './textFiles.ts';
