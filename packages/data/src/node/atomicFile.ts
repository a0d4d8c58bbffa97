/**
 * Files and directories that are either there in full or not at all: written to a temporary name beside their own,
 * fsynced, renamed; the directory entry is fsynced too. A killed process leaves at most a `*.partial`.
 */
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { msaeError } from '@msae/schema';
import type { ByteSink } from '../safetensorsWrite.ts';
import { makeDirectory } from './makeDirectory.ts';

const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** One clear message for what a disk can do to us; other errors are returned as they are. */
export function describeDiskError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code && full.has(code)) {
    const what =
      code === 'ENOSPC'
        ? 'the disk is full'
        : code === 'EDQUOT'
          ? 'the disk quota is used up'
          : 'the file is too large for this file system';
    return msaeError(
      'device',
      `${path}: ${what}; nothing that was there before has changed. Free some space and run again`,
      { cause: error },
    );
  }
  if (code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
    return msaeError('file', `${path}: cannot be written (${code}); check the permissions`, { cause: error });
  }
  return error;
}

/**
 * Writes a file in full or not at all.
 *
 * @param write a string, bytes, or a function that is given a sink
 * @throws when the disk is full, with the former file untouched and the partial one removed
 */
export async function writeFileAtomic(
  path: string,
  write: string | Uint8Array | ((sink: ByteSink) => Promise<void>),
): Promise<void> {
  const partial = `${path}.${process.pid.toString(36)}-${(counter++).toString(36)}.partial`;
  try {
    const handle = await open(partial, 'w');
    try {
      const sink = sinkOf(handle);
      if (typeof write === 'function') await write(sink);
      else await sink.write(typeof write === 'string' ? new TextEncoder().encode(write) : write);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(partial, { force: true });
    throw describeDiskError(error, path);
  }
}

let counter = 0;

function sinkOf(handle: FileHandle): ByteSink {
  return {
    async write(bytes) {
      for (let done = 0; done < bytes.byteLength; ) {
        done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
      }
    },
  };
}

/**
 * Replaces a directory by a new one in full or not at all. `write` fills the new directory; its files are fsynced
 * here. A process killed between the two renames leaves the former directory as `<path>.previous`:
 * `recoverDirectory` (called here too) puts it back.
 */
export async function replaceDirectory(
  path: string,
  write: (directory: string) => Promise<void>,
): Promise<void> {
  const partial = `${path}.partial`;
  const previous = `${path}.previous`;
  try {
    await recoverDirectory(path);
    await makeDirectory(partial);
    await write(partial);
    await syncTree(partial);
    if (await exists(path)) await rename(path, previous);
    await rename(partial, path);
    await syncDirectory(dirname(path));
    await rm(previous, { recursive: true, force: true });
  } catch (error) {
    await recoverDirectory(path);
    throw describeDiskError(error, path);
  }
}

/** Call before reading a directory that `replaceDirectory` writes: undoes what a killed process left half done. */
export async function recoverDirectory(path: string): Promise<void> {
  await rm(`${path}.partial`, { recursive: true, force: true });
  if (!(await exists(`${path}.previous`))) return;
  if (await exists(path)) await rm(`${path}.previous`, { recursive: true, force: true });
  else await rename(`${path}.previous`, path);
}

/** Removes the temporary files that killed processes left of `path`. */
export async function removePartials(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => []);
  const left = names.filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.partial'));
  for (const name of left) await rm(join(dirname(path), name), { recursive: true, force: true });
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function syncTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path, 'r+');
  }
  await syncDirectory(directory);
}

/** Makes renames in `directory` durable. Systems that cannot fsync a directory (Windows) are left as they are. */
async function syncDirectory(directory: string): Promise<void> {
  await syncPath(directory, 'r').catch((error: NodeJS.ErrnoException) => {
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'EBADF'].includes(error.code ?? '')) throw error;
  });
}

async function syncPath(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
