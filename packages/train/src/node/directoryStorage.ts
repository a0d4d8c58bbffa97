/** Checkpoints as directories on disk: written to a temporary name, fsynced, renamed. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, openFile, replaceDirectory, writeFileAtomic } from '@msae/data/node';
import { msaeError } from '@msae/schema';
import type { CheckpointStorage } from '../checkpointStorage.ts';

/**
 * One directory that holds a subdirectory for every checkpoint. It is made when the first one is written. What a
 * killed process left half written is ignored, and removed by the next write.
 */
export function directoryStorage(directory: string): CheckpointStorage {
  const names = async (): Promise<string[]> => {
    try {
      const entries = await readdir(directory, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  };
  const complete = (name: string): boolean => !/\.(partial|previous)$/.test(name);
  return {
    list: async () => (await names()).filter(complete).sort(),
    async write(name, files) {
      await makeDirectory(directory);
      for (const left of (await names()).filter((other) => other.endsWith('.partial'))) {
        await rm(join(directory, left), { recursive: true, force: true });
      }
      await replaceDirectory(join(directory, name), async (target) => {
        for (const file of files) await writeFileAtomic(join(target, file.name), file.write);
      });
    },
    async read(name, file) {
      const path = join(directory, name, file);
      const found = await stat(path).catch(() => null);
      if (found === null)
        throw msaeError('file', `checkpoint ${name}: there is no file ${file} in ${directory}`);
      return openFile(path);
    },
    remove: async (name) => rm(join(directory, name), { recursive: true, force: true }),
  };
}
