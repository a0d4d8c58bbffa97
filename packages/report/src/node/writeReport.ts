import { open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeDirectory } from '@msae/data/node';
import { renderReport } from '../renderReport.ts';
import type { ReportInput } from '../reportInput.ts';

const REASONS: Record<string, string> = {
  EACCES: 'the folder is not writable; choose another one or change its permissions',
  EPERM: 'the folder is not writable; choose another one or change its permissions',
  EROFS: 'the file system is read-only; choose another folder',
  ENOSPC: 'the disk is full; free some space',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'a part of the path is a file, not a folder',
  EISDIR: 'the path is a folder; add a file name such as report.html',
};

/**
 * Writes a report to `path` (folders are made), through a temporary file beside it, so that a page is there whole or not at all.
 * Throws an Error that says why when that is not possible, and a RangeError for input that `renderReport` refuses.
 *
 * @returns the absolute path and the size in bytes
 */
export async function writeReport(
  path: string,
  input: ReportInput,
): Promise<{ path: string; bytes: number }> {
  const target = resolve(path);
  const page = Buffer.from(renderReport(input), 'utf8');
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    await makeDirectory(dirname(target));
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(page);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new Error(`report: cannot write ${target}: ${REASONS[code] ?? (error as Error).message}`, {
      cause: error,
    });
  }
  return { path: target, bytes: page.length };
}
