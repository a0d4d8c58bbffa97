/**
 * Sparse autoencoders in and out of the formats of SAELens, sparsify, dictionary_learning, Gemma Scope, Llama Scope,
 * OpenAI and the write-up's reference code, and of the native one.
 *
 * @example
 * ```ts
 * import { reconstruct } from '@msae/core';
 * import { loadSae, saveSae } from '@msae/formats';
 *
 * const sae = await loadSae('hf://google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82');
 * const xHat = reconstruct(sae, x); // raw activations in, raw reconstructions out
 * await saveSae(sae, 'out', { format: 'saelens' });
 * ```
 *
 * @packageDocumentation
 */
export type { SaeFile, WeightDtype } from './containers/saeFile.ts';
export { type Folder, memoryFolder } from './folder.ts';
export { type WritableFormat, writableFormats } from './formats/table.ts';
export { inspectSae, type SaeInspection } from './inspectSae.ts';
export { type LoadSaeOptions, loadSae } from './loadSae.ts';
export type { SaePlace } from './place.ts';
export { type SaveSaeOptions, saeFiles, saveSae, saveSaeSchema } from './saveSae.ts';
