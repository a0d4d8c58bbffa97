/** What of @msae/harvest needs Node: files, the Hugging Face hub and onnxruntime-node. */
export { loadOnnxRuntime } from './onnxRuntime.ts';
export { type OpenedModel, openModelFile } from './openModelFile.ts';
export { fileFolder } from './openWeightsFile.ts';
export { storeFolders } from './storeFolders.ts';
export { readTextFiles } from './textFiles.ts';
