/** Writes an SAE in any format that can hold it. */
import type { Sae } from '@msae/core';
import type { LoadedSae } from './assemble.ts';
import { formatError, show } from './formatError.ts';
import { dictionaryLearningFiles } from './writers/dictionaryLearning.ts';
import { type ExportDetails, exportable } from './writers/exportable.ts';
import { msaeFiles } from './writers/msae.ts';
import type { SaeFile, WeightDtype } from './writers/saeFile.ts';
import { saelensFiles } from './writers/saelens.ts';
import { sparsifyFiles } from './writers/sparsify.ts';

/** The formats that can be written. */
export const writableFormats = ['msae', 'saelens', 'sparsify', 'dictionary_learning'] as const;
export type WritableFormat = (typeof writableFormats)[number];

export interface SaveSaeOptions extends ExportDetails {
  /** Default `msae`. */
  format?: WritableFormat;
  /** Default F32. */
  dtype?: WeightDtype;
  /** saelens: make decoder rows unit vectors (not for topk, whose choice that would change). Default true. */
  foldDecoderNorm?: boolean;
}

/**
 * The files of an SAE's checkpoint, to be written anywhere: a download, the origin-private file system. Each file's
 * tensors are computed while it is written.
 */
export async function saeFiles(sae: Sae | LoadedSae, options: SaveSaeOptions = {}): Promise<SaeFile[]> {
  const { format = 'msae', dtype = 'F32', foldDecoderNorm, ...details } = options;
  const source = exportable(sae, details);
  switch (format) {
    case 'msae':
      return msaeFiles(source, dtype);
    case 'saelens':
      return saelensFiles(source, dtype, foldDecoderNorm === undefined ? {} : { foldDecoderNorm });
    case 'sparsify':
      return sparsifyFiles(source, dtype);
    case 'dictionary_learning':
      return dictionaryLearningFiles(source, dtype);
    default:
      throw formatError({
        file: 'saveSae',
        field: 'format',
        found: show(format),
        expected: `one of ${writableFormats.join(', ')}`,
      });
  }
}

/**
 * Saves an SAE into the folder `directory` (Node), in full or not at all: it is written beside and renamed. A folder
 * that is there already is replaced only if it holds nothing but such a checkpoint.
 *
 * What the format has no field for (prefixes and their weights, the training activation, a folded input scale) goes
 * into its free-form metadata, where `loadSae` finds it.
 *
 * @throws a format error when the format cannot hold the SAE, saying why
 *
 * @example
 * ```ts
 * await saveSae(sae, 'out', { format: 'saelens', prefixes, inputScale, metadata: { model_name: 'gpt2', hook_name } });
 * ```
 */
export async function saveSae(
  sae: Sae | LoadedSae,
  directory: string,
  options: SaveSaeOptions = {},
): Promise<void> {
  const files = await saeFiles(sae, options);
  const { writeCheckpointDirectory } = await import('./node/writeCheckpointDirectory.ts');
  await writeCheckpointDirectory(directory, files);
}
