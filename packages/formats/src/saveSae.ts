/** Writes an SAE in any format that can hold it. */
import type { Sae } from '@msae/core';
import { check, choice, flag, givenBy, object, optional, type Schema } from '@msae/schema';
import { type SaeFile, type WeightDtype, weightDtypes } from './containers/saeFile.ts';
import { type WritableFormat, writableFormats, writers } from './formats/table.ts';

export interface SaveSaeOptions {
  /** Default `msae`. */
  format?: WritableFormat;
  /** Of the weights. Default F32. */
  dtype?: WeightDtype;
  /** saelens: make decoder rows unit vectors (not for topk, whose choice that would change). Default true. */
  foldDecoderNorm?: boolean;
  /** More of what `sae.record.metadata` holds: model_name, hook_name, context_size, dataset_path and the like. */
  metadata?: Readonly<Record<string, unknown>>;
}

/** The options of {@link saveSae}, for checks, flags and tables. */
export const saveSaeSchema: Schema<SaveSaeOptions> = object<SaveSaeOptions>({
  format: optional(choice(writableFormats, { help: 'format to write' }), 'msae'),
  dtype: optional(choice(weightDtypes, { help: 'type of the weights' }), 'F32'),
  foldDecoderNorm: optional(flag({ help: 'saelens: make decoder rows unit vectors' }), true),
  metadata: optional(
    givenBy<Readonly<Record<string, unknown>>>(
      'an object',
      (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
      { help: 'about the model, the hook, the data' },
    ),
  ),
});

/**
 * The files of an SAE's checkpoint, to be written anywhere: a download, the origin-private file system. Each file's
 * tensors are computed while it is written.
 *
 * @throws MsaeError `option`; `unsupported` when the format cannot hold the SAE, saying why
 */
export async function saeFiles(sae: Sae, options: SaveSaeOptions = {}): Promise<SaeFile[]> {
  const {
    format = 'msae',
    dtype = 'F32',
    foldDecoderNorm = true,
    metadata,
  } = check(saveSaeSchema, options, 'saveSae');
  const { record } = sae;
  const described = metadata
    ? { ...sae, record: { ...record, metadata: { ...record.metadata, ...metadata } } }
    : sae;
  return writers[format].write(described, { dtype, foldDecoderNorm });
}

/**
 * Saves an SAE into the folder `directory` (Node), in full or not at all: it is written beside and renamed. A folder
 * that is there already is replaced only if it holds nothing but such a checkpoint.
 *
 * The native format gives back the SAE bit for bit. For other formats the transform is folded into the weights; what they
 * have no field for (prefixes and their weights, the training activation) goes into their free-form metadata, where
 * `loadSae` finds it.
 *
 * @throws MsaeError `option`; `unsupported` when the format cannot hold the SAE, saying why; `file` for a folder that holds
 * other things
 *
 * @example
 * ```ts
 * await saveSae(trainer.sae, 'out', { format: 'saelens', metadata: { model_name: 'gpt2', hook_name } });
 * ```
 */
export async function saveSae(sae: Sae, directory: string, options: SaveSaeOptions = {}): Promise<void> {
  const files = await saeFiles(sae, options);
  const { writeCheckpointDirectory } = await import('./node/writeCheckpointDirectory.ts');
  await writeCheckpointDirectory(directory, files);
}
