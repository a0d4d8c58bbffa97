/** Opens an SAE of any known format. */
import type { HttpOptions } from '@msae/data';
import { assemble, type LoadedSae } from './assemble.ts';
import type { Checkpoint } from './checkpoint.ts';
import { readCheckpoint } from './detect.ts';
import { formatError, show } from './formatError.ts';
import { openPlace, type SaePlace } from './place.ts';

export interface LoadSaeOptions extends HttpOptions {
  /**
   * The constant the activations were scaled by in training, for files that say they were normalised but not by how
   * much (`expected_average_only_in`): √d / mean ‖x‖. Folded into the weights.
   */
  inputScale?: number;
}

/**
 * Loads an SAE onto the current tfjs backend: from a path, an address, the Hugging Face hub, dropped files. The format
 * is recognised: SAELens, sparsify, dictionary_learning, Gemma Scope 1 and 2, Llama Scope, OpenAI, the write-up's
 * reference code, and the native format. Only the tensors are read, one at a time, so files may be larger than 2 GB.
 *
 * @returns the core SAE with what has to happen around it; dispose it when done
 * @throws one error naming the file, the field, what was found and what was expected (`isFormatError`)
 *
 * @example
 * ```ts
 * const loaded = await loadSae('hf://google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82');
 * const f = loaded.encode(x);       // [B, N]
 * ```
 */
export async function loadSae(place: SaePlace, options: LoadSaeOptions = {}): Promise<LoadedSae> {
  return withCheckpoint(place, options, (checkpoint) => assemble(checkpoint, options.signal));
}

/** Opens a place, describes its SAE, and closes the files when `use` is done. */
export async function withCheckpoint<T>(
  place: SaePlace,
  options: LoadSaeOptions,
  use: (checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  const { inputScale, ...http } = options;
  const opened = await openPlace(place, http);
  try {
    const checkpoint = await readCheckpoint(opened.folder, opened.path, opened.hint);
    checkK(checkpoint);
    return await use(inputScale === undefined ? checkpoint : scaled(checkpoint, inputScale));
  } finally {
    await opened.close();
  }
}

function scaled(checkpoint: Checkpoint, inputScale: number): Checkpoint {
  const { normalize } = checkpoint.preprocessing;
  if (normalize !== 'expected_average_only_in' || !(inputScale > 0) || !Number.isFinite(inputScale)) {
    throw formatError({
      file: checkpoint.file,
      field: 'inputScale',
      found: `${show(inputScale)} for an SAE whose normalisation is ${normalize}`,
      expected: 'a number > 0, and only where the normalisation is expected_average_only_in',
    });
  }
  return {
    ...checkpoint,
    inputScale,
    ...(checkpoint.uniformThreshold === undefined
      ? {}
      : { uniformThreshold: checkpoint.uniformThreshold * inputScale }),
    preprocessing: { ...checkpoint.preprocessing, normalize: 'none' },
    warnings: checkpoint.warnings.filter((warning) => !warning.startsWith('normalisation not folded')),
  };
}

function checkK({ activation, nLatents, file }: Checkpoint): void {
  if ('k' in activation && activation.k > nLatents) {
    throw formatError({
      file,
      field: 'k',
      found: `${activation.k}`,
      expected: `at most the ${nLatents} latents there are`,
    });
  }
}
