/** Opens an SAE of any known format. */
import { activationTraits, type Sae } from '@msae/core';
import type { HttpOptions } from '@msae/data';
import { check, givenBy, number, object, optional, type Schema, whole } from '@msae/schema';
import { assemble } from './assemble.ts';
import { type Checkpoint, needsKey, scaleStep } from './checkpoint.ts';
import { formatError, show } from './formatError.ts';
import { type Detected, readCheckpoint } from './formats/detect.ts';
import { openPlace, type SaePlace } from './place.ts';

export interface LoadSaeOptions extends HttpOptions {
  /**
   * The constant the activations were scaled by in training, for files that say they were normalised but not by how
   * much (`expected_average_only_in`): √d / mean ‖x‖. It becomes a step of the SAE's transform.
   */
  inputScale?: number;
}

/** The options of {@link loadSae}, which inspection has too. */
export const loadSaeEntries: {
  readonly [name in keyof LoadSaeOptions]-?: Schema<Exclude<LoadSaeOptions[name], undefined>>;
} = {
  inputScale: optional(
    number({ above: 0, help: 'factor on the activations in training, where the file lacks it' }),
  ),
  fetch: optional(
    givenBy<typeof fetch>('a function like fetch', (value) => typeof value === 'function', {
      help: 'instead of the global fetch',
    }),
  ),
  headers: optional(
    givenBy<Record<string, string>>(
      'headers by name',
      (value) => typeof value === 'object' && value !== null,
      { help: 'sent with every request' },
    ),
  ),
  retries: optional(whole({ min: 0, help: 'further tries of a failed request' })),
  signal: optional(
    givenBy<AbortSignal>('an AbortSignal', (value) => value instanceof AbortSignal, {
      help: 'ends the reading',
    }),
  ),
};

const schema: Schema<LoadSaeOptions> = object<LoadSaeOptions>(loadSaeEntries);

/**
 * Loads an SAE onto the current tfjs backend: from a path, an address, the Hugging Face hub, dropped files. The format
 * is recognised: SAELens, sparsify, dictionary_learning, Gemma Scope 1 and 2, Llama Scope, OpenAI, the write-up's
 * reference code, the native format and checkpoints of training. Only the tensors are read, one at a time, so files may
 * be larger than 2 GB.
 *
 * @returns the whole SAE, raw activations in and out: what has to happen around the weights is in `transform` and `skip`,
 * where it comes from and what to beware of in `record`; dispose it when done
 * @throws MsaeError `file`, naming the file, the field, what was found and what was expected; `option` for an unknown option;
 * `device` for matrices that do not fit
 *
 * @example
 * ```ts
 * const sae = await loadSae('hf://google/gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_82');
 * const f = encode(sae, x);       // [B, N]
 * ```
 */
export async function loadSae(place: SaePlace, options: LoadSaeOptions = {}): Promise<Sae> {
  const checked = check(schema, options, 'loadSae');
  return withCheckpoint(place, checked, (detected) => assemble(detected, checked.signal));
}

/** Opens a place, describes its SAE, and closes the files when `use` is done. */
export async function withCheckpoint<T>(
  place: SaePlace,
  options: LoadSaeOptions,
  use: (detected: Detected) => Promise<T>,
): Promise<T> {
  const { inputScale, ...http } = options;
  const opened = await openPlace(place, http);
  try {
    const { format, checkpoint } = await readCheckpoint(opened.folder, opened.path, opened.hint);
    checkNumbers(checkpoint);
    return await use({
      format,
      checkpoint: inputScale === undefined ? checkpoint : scaled(checkpoint, inputScale),
    });
  } finally {
    await opened.close();
  }
}

function scaled(checkpoint: Checkpoint, inputScale: number): Checkpoint {
  const { needs, uniformThreshold, transform, output, ...rest } = checkpoint;
  const { [needsKey]: _, ...metadata } = checkpoint.metadata;
  if (needs !== 'expected_average_only_in') {
    throw formatError({
      file: checkpoint.file,
      field: 'inputScale',
      found: `${show(inputScale)} for an SAE ${needs ? `whose normalisation is ${needs}` : 'that lacks no constant'}`,
      expected: 'it only where the normalisation is expected_average_only_in',
    });
  }
  const step = scaleStep(inputScale);
  return {
    ...rest,
    ...(output && { output }),
    ...(uniformThreshold !== undefined && { uniformThreshold: uniformThreshold * inputScale }),
    transform: {
      input: [...(transform?.input ?? []), step],
      ...(output && { output: [...(transform?.output ?? []), step] }),
    },
    metadata,
    warnings: checkpoint.warnings.filter((warning) => !warning.startsWith('normalisation not folded')),
  };
}

function checkNumbers({
  activation,
  nLatents,
  file,
  inferenceThreshold,
  uniformThreshold,
}: Checkpoint): void {
  const l0 = activationTraits(activation).fixedL0;
  if (l0 !== undefined && l0 > nLatents) {
    throw formatError({
      file,
      field: 'k',
      found: `${l0}`,
      expected: `at most the ${nLatents} latents there are`,
    });
  }
  for (const threshold of [inferenceThreshold ?? 0, uniformThreshold ?? 0]) {
    if (Number.isFinite(threshold)) continue;
    throw formatError({ file, field: 'threshold', found: `${threshold}`, expected: 'a finite number' });
  }
}
