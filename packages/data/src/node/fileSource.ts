import { open } from 'node:fs/promises';
import { msaeError } from '@msae/schema';
import { checkRange, type RandomAccess } from '../byteSource.ts';

/** A file on disk, read by position. Close it when done. */
export async function openFile(path: string): Promise<RandomAccess> {
  const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'there is no such file' : cause.message;
    throw msaeError('file', `${path}: ${why}`, { cause });
  });
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw msaeError(
      'file',
      `${path}: expected a file, found ${stats.isDirectory() ? 'a directory' : 'something else'}`,
    );
  }
  const readInto = async (target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> => {
    checkRange(source, offset, target.byteLength);
    signal?.throwIfAborted();
    let done = 0;
    while (done < target.byteLength) {
      const { bytesRead } = await handle.read(target, done, target.byteLength - done, offset + done);
      if (bytesRead === 0)
        throw msaeError('file', `${path}: it ended at byte ${offset + done}; it was truncated while open`);
      done += bytesRead;
    }
  };
  const source: RandomAccess = {
    name: path,
    size: stats.size,
    async read(offset, length, options) {
      checkRange(source, offset, length); // before the allocation
      const bytes = new Uint8Array(length);
      await readInto(bytes, offset, options?.signal);
      return bytes;
    },
    readInto: (target, offset, options) => readInto(target, offset, options?.signal),
    close: () => handle.close(),
  };
  return source;
}
