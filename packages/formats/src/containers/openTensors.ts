import { type RandomAccess, readSafetensors } from '@msae/data';
import type { Folder } from '../folder.ts';
import { formatError, show, tagError } from '../formatError.ts';
import { readNpzTensors } from './npz.ts';
import { safetensorsTensors } from './storedTensor.ts';
import { type TensorTable, tensorTable } from './tensorTable.ts';
import { readTorchFile, torchTensors } from './torchFile.ts';

/** The tensors of a safetensors file that must be there. */
export async function openSafetensors(folder: Folder, path: string): Promise<TensorTable> {
  const source = await openWeights(folder, path);
  try {
    return tensorTable(source.name, safetensorsTensors(await readSafetensors(source)));
  } catch (error) {
    throw tagError(error, source.name, 'safetensors');
  }
}

/** A state dict of `torch.save` that must be there: its tensors, and its other values. */
export async function openTorch(
  folder: Folder,
  path: string,
): Promise<{ table: TensorTable; values: ReadonlyMap<unknown, unknown> }> {
  const source = await openWeights(folder, path);
  const { value } = await readTorchFile(source);
  if (!(value instanceof Map)) {
    throw formatError({
      file: source.name,
      field: 'content',
      found: Array.isArray(value) ? 'a list' : show(value),
      expected: 'a state dict of named tensors',
    });
  }
  return { table: tensorTable(source.name, torchTensors(value)), values: value };
}

/** The arrays of an .npz that must be there. */
export async function openNpz(folder: Folder, path: string): Promise<TensorTable> {
  const source = await openWeights(folder, path);
  try {
    return tensorTable(source.name, await readNpzTensors(source));
  } catch (error) {
    throw tagError(error, source.name, 'npz');
  }
}

async function openWeights(folder: Folder, path: string): Promise<RandomAccess> {
  const source = await folder.open(path);
  if (source) return source;
  throw formatError({
    file: `${folder.name}/${path}`,
    field: 'file',
    found: 'nothing',
    expected: 'the weights',
  });
}
