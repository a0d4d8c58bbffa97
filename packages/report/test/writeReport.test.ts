import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeReport } from '../src/node/index.ts';
import { syntheticReport } from './syntheticRun.ts';

let folder = '';
const input = await syntheticReport(16);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'msae-report-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('writeReport', () => {
  it('makes folders, writes the whole page and leaves nothing else', async () => {
    const { path, bytes } = await writeReport(join(folder, 'a', 'b', 'report.html'), input);
    expect((await readFile(path)).length).toBe(bytes);
    expect(await readdir(join(folder, 'a', 'b'))).toEqual(['report.html']);
  });

  it('says why it cannot write: a file in the way, a folder in the way', async () => {
    await writeFile(join(folder, 'file'), 'x');
    await expect(writeReport(join(folder, 'file', 'report.html'), input)).rejects.toThrow(
      /a file, not a folder/,
    );
    await mkdir(join(folder, 'dir', 'inside'), { recursive: true });
    await expect(writeReport(join(folder, 'dir'), input)).rejects.toThrow(
      /the path is a folder; add a file name/,
    );
    expect(await readdir(folder)).toEqual(['a', 'dir', 'file']);
  });

  // The superuser may write anywhere, so there the folder is one that nobody can write.
  it('says so when the folder is not writable', async () => {
    const root = process.getuid?.() === 0;
    const locked = root ? '/proc/self' : join(folder, 'locked');
    if (!root) {
      await mkdir(locked);
      await chmod(locked, 0o500);
    }
    await expect(writeReport(join(locked, 'report.html'), input)).rejects.toThrow(
      /cannot write .*report\.html/,
    );
  });
});
