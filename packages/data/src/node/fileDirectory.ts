import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { msaeError } from '@msae/schema';
import type { WritableDirectory } from '../store/directory.ts';
import { describeDiskError, writeFileAtomic } from './atomicFile.ts';
import { openFile } from './fileSource.ts';
import { makeDirectory } from './makeDirectory.ts';

/** A store's directory on disk; made when it is first written to. */
export function fileDirectory(path: string): WritableDirectory {
  return {
    name: path,
    open: (file) => openFile(join(path, file)),
    async list() {
      return readdir(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw msaeError(
          'file',
          `${path}: ${error.code === 'ENOTDIR' ? 'expected a directory, found a file' : error.message}`,
          { cause: error },
        );
      });
    },
    async write(file, chunks) {
      await makeDirectory(path).catch((error: unknown) => {
        throw describeDiskError(error, path);
      });
      await writeFileAtomic(join(path, file), async (sink) => {
        for await (const chunk of chunks) await sink.write(chunk);
      });
    },
    remove: (file) => rm(join(path, file), { force: true }),
  };
}
