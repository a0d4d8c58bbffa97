import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeDirectory } from '../src/node/makeDirectory.ts';

const root = mkdtempSync(join(tmpdir(), 'make-directory-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('makeDirectory', () => {
  it('makes what is missing, and nothing twice', async () => {
    await makeDirectory(join(root, 'a/b/c'));
    await makeDirectory(join(root, 'a/b/c'));
    expect(existsSync(join(root, 'a/b/c'))).toBe(true);
    await Promise.all([1, 2, 3].map(() => makeDirectory(join(root, 'p/q'))));
    expect(existsSync(join(root, 'p/q'))).toBe(true);
  });

  it('says what is in the way', async () => {
    writeFileSync(join(root, 'file'), '');
    await expect(makeDirectory(join(root, 'file'))).rejects.toThrow('EEXIST');
    await expect(makeDirectory(join(root, 'file/x'))).rejects.toThrow('ENOTDIR');
  });

  it.skipIf(!existsSync('/proc/self'))('ends where a file system takes no directories', async () => {
    await expect(makeDirectory('/proc/no-such-folder/x')).rejects.toThrow('ENOENT');
  });
});
