import { readdir, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { check, msaeError, object, optional, type Schema, text } from '@msae/schema';
import type { RandomAccess } from '../byteSource.ts';
import { npyRows } from '../formats/npy.ts';
import { readNpz } from '../formats/npz.ts';
import { parquetRows } from '../formats/parquet.ts';
import { tensorRows } from '../formats/tensorRows.ts';
import { fromUrl } from '../httpSource.ts';
import type { ActivationRows } from '../rows.ts';
import { readSafetensors } from '../safetensors.ts';
import { httpDirectory } from '../store/directory.ts';
import { openStore } from '../store/openStore.ts';
import { fileDirectory } from './fileDirectory.ts';
import { openFile } from './fileSource.ts';

export interface OpenRowsOptions {
  /** Which array, tensor or column holds the activations, where a file has several. */
  key?: string;
}

const schema: Schema<OpenRowsOptions> = object<OpenRowsOptions>({
  key: optional(text({ help: 'array, tensor or column with the activations' })),
});

/**
 * Opens activations by path or http(s) URL: a store's directory, .npy, .npz, .safetensors or .parquet.
 *
 * @throws one Error naming the path and what is wrong with it
 */
export async function openRows(path: string, options: OpenRowsOptions = {}): Promise<ActivationRows> {
  const { key } = check(schema, options, 'openRows');
  const remote = /^https?:\/\//.test(path);
  const extension = extname(remote ? new URL(path).pathname : path).toLowerCase();
  if (remote && extension === '') return openStore(httpDirectory(path));
  if (!remote && (await isDirectory(path))) {
    if (!(await readdir(path)).includes('index.json')) {
      throw msaeError('file', `${path}: the directory has no index.json; expected a store of activations`);
    }
    return openStore(fileDirectory(path));
  }
  const open = formats[extension];
  if (!open) {
    throw msaeError(
      'file',
      `${path}: expected a store's directory or a file ending in ${Object.keys(formats).join(', ')}`,
    );
  }
  const source = remote ? await fromUrl(path) : await openFile(path);
  try {
    return await open(source, key);
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

const formats: Readonly<Record<string, (source: RandomAccess, key?: string) => Promise<ActivationRows>>> = {
  '.npy': (source) => npyRows(source),
  '.npz': async (source, key) => {
    const npz = await readNpz(source);
    const name = key ?? npz.names[0];
    if (name === undefined || (key === undefined && npz.names.length > 1)) {
      throw msaeError(
        'option',
        `${source.name}: name the array that holds the activations; it has: ${npz.names.join(', ') || 'none'}`,
      );
    }
    return npz.rows(name);
  },
  '.safetensors': async (source, key) => tensorRows(await readSafetensors(source), key),
  '.parquet': (source, key) => parquetRows(source, key === undefined ? {} : { column: key }),
};

async function isDirectory(path: string): Promise<boolean> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw msaeError(
      'file',
      `${path}: ${cause.code === 'ENOENT' ? 'there is no such file or directory' : cause.message}`,
      { cause },
    );
  });
  return stats.isDirectory();
}
