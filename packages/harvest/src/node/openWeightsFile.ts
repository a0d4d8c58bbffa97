/** Weights on this machine: a .gguf file, or a Hugging Face folder without an ONNX file. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { RandomAccess } from '@msae/data';
import { openFile } from '@msae/data/node';
import { msaeError } from '@msae/schema';
import type { WeightFolder } from '../weights/folder/folderSource.ts';
import { type OpenWeightsOptions, openWeights } from '../weights/openWeights.ts';
import type { WeightsModel } from '../weights/weightsModel.ts';

/** The path of weights that `source` is: itself (a .gguf file, or a folder of safetensors), the folder of a model.safetensors, or a GGUF in it. */
export async function weightsAt(source: string, modelFile?: string): Promise<string | undefined> {
  const found = await stat(source).catch(() => undefined);
  if (found?.isFile()) {
    if (basename(source) === 'model.safetensors') return dirname(source);
    return source.endsWith('.gguf') ? source : undefined;
  }
  if (!found?.isDirectory()) return undefined;
  if (modelFile !== undefined) return modelFile.endsWith('.gguf') ? join(source, modelFile) : undefined;
  const files = await readdir(source);
  const exported = files.includes('onnx') ? await readdir(join(source, 'onnx')).catch(() => []) : [];
  if ([...files, ...exported].some((file) => file.endsWith('.onnx'))) return undefined;
  const has = (file: string): boolean => files.includes(file);
  if (has('config.json') && (has('model.safetensors') || has('model.safetensors.index.json'))) return source;
  const ggufs = files.filter((file) => file.endsWith('.gguf')).sort();
  if (ggufs.length > 1) {
    throw msaeError(
      'file',
      `${source}: this folder holds ${ggufs.join(', ')}: name one (modelFile, or --model-file)`,
    );
  }
  return ggufs[0] === undefined ? undefined : join(source, ggufs[0]);
}

/** Opens what {@link weightsAt} found. */
export async function openWeightsFile(path: string, options: OpenWeightsOptions): Promise<WeightsModel> {
  return openWeights(path.endsWith('.gguf') ? await reopenedFile(path) : fileFolder(path), options);
}

/** A folder on disk, for `openWeights`. */
export function fileFolder(folder: string): WeightFolder {
  return {
    name: folder,
    async open(path): Promise<RandomAccess | undefined> {
      const file = join(folder, path);
      const found = await stat(file).catch(() => undefined);
      return found === undefined ? undefined : reopenedFile(file);
    },
  };
}

/** A file that is open only while it is read: a model reads its weights when sessions open, and need not be closed. */
async function reopenedFile(path: string): Promise<RandomAccess> {
  const reading = async <T>(use: (file: RandomAccess) => Promise<T> | T): Promise<T> => {
    const file = await openFile(path);
    try {
      return await use(file);
    } finally {
      await file.close?.();
    }
  };
  const size = await reading((file) => file.size);
  return {
    name: path,
    size,
    read: (offset, length, options) =>
      reading((file) => {
        if (file.size !== size) {
          throw msaeError(
            'file',
            `${path}: it had ${size} bytes when it was opened, and has ${file.size} now`,
          );
        }
        return file.read(offset, length, options);
      }),
  };
}
