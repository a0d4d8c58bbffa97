import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { replaceDirectory, writeFileAtomic } from '@msae/data/node';
import type { SaeFile } from '../containers/saeFile.ts';
import { formatError } from '../formatError.ts';
import { writers } from '../formats/table.ts';

/** Names our writers use: a folder with only these may be replaced. */
const ours = new Set(Object.values(writers).flatMap(({ files }) => files));

/** Writes a checkpoint's files into `directory`, all of them or none. */
export async function writeCheckpointDirectory(directory: string, files: readonly SaeFile[]): Promise<void> {
  const path = resolve(directory);
  const present = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw formatError({
      file: directory,
      field: 'path',
      found: error.code === 'ENOTDIR' ? 'a file' : error.message,
      expected: 'a folder, or nothing yet',
      cause: error,
    });
  });
  const foreign = present.filter((name) => !ours.has(name));
  if (foreign.length) {
    throw formatError({
      file: directory,
      field: 'path',
      found: `a folder that also holds ${foreign.slice(0, 3).join(', ')}`,
      expected: 'a new or empty folder, or one with nothing but a checkpoint',
      hint: 'name a folder of its own for the SAE',
    });
  }
  await replaceDirectory(path, async (partial) => {
    for (const file of files) {
      await writeFileAtomic(join(partial, file.path), (sink) => file.write(sink));
    }
  });
}
