import { dirname, resolve } from 'node:path';
import { makeDirectory, writeFileAtomic } from '@msae/data/node';
import { msaeError } from '@msae/schema';
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
 * Writes a report to `path` (folders are made), whole or not at all.
 *
 * @returns the absolute path and the size in bytes
 * @throws MsaeError `file` or `device` that says why it cannot be written; what `renderReport` throws
 */
export async function writeReport(
  path: string,
  input: ReportInput,
): Promise<{ path: string; bytes: number }> {
  const target = resolve(path);
  const page = new TextEncoder().encode(renderReport(input));
  try {
    await makeDirectory(dirname(target));
    await writeFileAtomic(target, page);
  } catch (error) {
    const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
    throw msaeError(
      code === 'ENOSPC' ? 'device' : 'file',
      `report: cannot write ${target}: ${REASONS[code ?? ''] ?? message}`,
      { cause: error },
    );
  }
  return { path: target, bytes: page.length };
}
