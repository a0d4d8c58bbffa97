/** A training checkpoint's constants lie beside it: activation_scaler.json, activation_whitening.safetensors. */
import { type Checkpoint, type StoredStep, scaleStep } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import { type Folder, readJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import { normalization, normalizations } from '../normalization.ts';

/**
 * What is done to activations. Transcoders undo constants on their output as well, as `fold_activation_norm_scaling_factor`
 * and `fold_activation_whitening` do; what depends on the row they do not.
 */
export async function readNormalization(
  folder: Folder,
  cfg: Fields,
  d: number,
  transcoder: boolean,
): Promise<Pick<Checkpoint, 'transform' | 'needs' | 'warnings'>> {
  const word = cfg.choice('normalize_activations', normalizations, 'none');
  const rest = normalization(word);
  if (!rest.needs) return rest;
  const constant = await readConstant(folder, rest.needs, d);
  if (constant === undefined) return rest;
  return {
    transform: { input: [constant], ...(transcoder && { output: [constant] }) },
    warnings: [],
  };
}

async function readConstant(folder: Folder, word: string, d: number): Promise<StoredStep | undefined> {
  const json = await readJson(folder, 'activation_scaler.json');
  const scaler = json ? fieldsOf(`${folder.name}/activation_scaler.json`, json) : undefined;
  if (scaler?.has('scaling_factor')) {
    const factor = scaler.number('scaling_factor');
    if (factor > 0) return scaleStep(factor);
    throw formatError({
      file: scaler.file,
      field: 'scaling_factor',
      found: show(factor),
      expected: '> 0',
    });
  }
  if (word !== 'covariance_whitening' || !scaler?.boolean('has_whitening', true)) return undefined;
  const table = await openSafetensors(folder, 'activation_whitening.safetensors');
  return {
    kind: 'whitening',
    arrays: {
      mean: table.vector('mean', d),
      matrix: table.matrix('matrix', [d, d]),
      inverse: table.matrix('inverse_matrix', [d, d]),
    },
  };
}
