/**
 * Checkpoints in a browser's origin-private file system. It has no rename of directories, so a checkpoint counts
 * only once its marker file exists, and the marker is written last.
 */
import { msaeError } from '@msae/schema';
import type { CheckpointStorage } from './checkpointStorage.ts';

const MARKER = 'complete';

/** @param directory e.g. `await (await navigator.storage.getDirectory()).getDirectoryHandle('run', { create: true })` */
export function opfsStorage(directory: FileSystemDirectoryHandle): CheckpointStorage {
  const isComplete = async (name: string): Promise<boolean> => {
    try {
      await (await directory.getDirectoryHandle(name)).getFileHandle(MARKER);
      return true;
    } catch {
      return false;
    }
  };
  return {
    async list() {
      const names: string[] = [];
      for await (const [name, handle] of directory.entries()) {
        if (handle.kind === 'directory' && (await isComplete(name))) names.push(name);
      }
      return names.sort();
    },
    async write(name, files) {
      if (await isComplete(name)) await directory.removeEntry(name, { recursive: true });
      const target = await directory.getDirectoryHandle(name, { create: true });
      try {
        for (const file of files) {
          const stream = await (await target.getFileHandle(file.name, { create: true })).createWritable();
          await file.write({ write: (bytes) => stream.write(bytes as Uint8Array<ArrayBuffer>) });
          await stream.close();
        }
        await (await (await target.getFileHandle(MARKER, { create: true })).createWritable()).close();
      } catch (error) {
        await directory.removeEntry(name, { recursive: true }).catch(() => undefined);
        throw error;
      }
    },
    async read(name, file) {
      if (!(await isComplete(name)))
        throw msaeError('file', `checkpoint ${name}: not there, or never completed`);
      try {
        return await (await (await directory.getDirectoryHandle(name)).getFileHandle(file)).getFile();
      } catch (error) {
        throw msaeError('file', `checkpoint ${name}: file ${file} cannot be read`, { cause: error });
      }
    },
    remove: async (name) => directory.removeEntry(name, { recursive: true }),
  };
}
