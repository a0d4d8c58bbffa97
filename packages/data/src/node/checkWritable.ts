import { open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { msaeError } from '@msae/schema';
import { describeDiskError } from './atomicFile.ts';
import { makeDirectory } from './makeDirectory.ts';

/**
 * Checks that a file can be written at `path`, before the work whose result goes there. Makes the folder; leaves nothing else.
 *
 * @throws MsaeError `file`, or the disk's own error in words
 */
export async function checkWritable(path: string): Promise<void> {
  await makeDirectory(dirname(path));
  const there = await stat(path).catch(() => null);
  if (there?.isDirectory()) {
    throw msaeError('file', `${path}: it is a folder; name the file to write`, { file: path });
  }
  const probe = `${path}.${process.pid}.check`;
  try {
    await (await open(probe, 'wx')).close();
  } catch (error) {
    throw describeDiskError(error, path);
  } finally {
    await rm(probe, { force: true });
  }
}
