import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { msaeError } from '@msae/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore, openStoreWriter } from '../src/index.ts';
import {
  recoverDirectory,
  removePartials,
  replaceDirectory,
  writeFileAtomic,
} from '../src/node/atomicFile.ts';
import { fileDirectory } from '../src/node/fileDirectory.ts';
import { errorOf } from './expectError.ts';
import { firstWrongRow, makeBatch } from './storeRows.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'msae-atomic-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const read = (...path: string[]): Promise<string> => readFile(join(directory, ...path), 'utf8');

describe('writeFileAtomic', () => {
  it('replaces a file, and leaves it alone when the writer throws', async () => {
    const path = join(directory, 'a.txt');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, async (sink) => {
      await sink.write(new TextEncoder().encode('two'));
    });
    const failing = writeFileAtomic(path, async (sink) => {
      await sink.write(new TextEncoder().encode('thr'));
      throw msaeError('state', 'stopped');
    });
    expect((await errorOf(() => failing)).message).toBe('stopped');
    expect(await read('a.txt')).toBe('two');
    expect(await readdir(directory)).toEqual(['a.txt']);
  });

  it('removes what killed processes left', async () => {
    await writeFile(join(directory, 'a.txt.1-2.partial'), 'x');
    await writeFile(join(directory, 'b.txt.1-2.partial'), 'x');
    await removePartials(join(directory, 'a.txt'));
    expect(await readdir(directory)).toEqual(['a.txt', 'b.txt.1-2.partial']);
  });
});

describe('replaceDirectory', () => {
  const path = (): string => join(directory, 'checkpoint');
  const write = (text: string): Promise<void> =>
    replaceDirectory(path(), async (partial) => {
      await mkdir(join(partial, 'deep'));
      await writeFile(join(partial, 'deep', 'x'), text);
    });

  it('replaces in full, keeps the former one when the writer throws', async () => {
    await write('one');
    await write('two');
    await errorOf(() =>
      replaceDirectory(path(), async (partial) => {
        await writeFile(join(partial, 'half'), '');
        throw msaeError('state', 'stopped');
      }),
    );
    expect(await read('checkpoint', 'deep', 'x')).toBe('two');
    expect((await readdir(directory)).filter((name) => name.startsWith('checkpoint'))).toEqual([
      'checkpoint',
    ]);
  });

  it('recovers from a kill at every point between', async () => {
    await write('old');
    // killed while the new one was being filled
    await mkdir(`${path()}.partial`);
    await writeFile(join(`${path()}.partial`, 'half'), '');
    await recoverDirectory(path());
    expect(await read('checkpoint', 'deep', 'x')).toBe('old');
    // killed between the two renames
    await rename(path(), `${path()}.previous`);
    await mkdir(`${path()}.partial`);
    await recoverDirectory(path());
    expect(await read('checkpoint', 'deep', 'x')).toBe('old');
    // killed before the former one was removed
    await mkdir(`${path()}.previous`);
    await recoverDirectory(path());
    expect(await read('checkpoint', 'deep', 'x')).toBe('old');
    expect((await readdir(directory)).filter((name) => name.startsWith('checkpoint'))).toEqual([
      'checkpoint',
    ]);
  });
});

/** Mounts a small file system; undefined where that is not allowed (it takes root). */
function mountSmall(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('a disk that fills up', () => {
  let disk: string;
  let mounted = false;
  beforeAll(async () => {
    disk = await mkdtemp(join(tmpdir(), 'msae-full-'));
    mounted = mountSmall(disk);
  });
  afterAll(async () => {
    if (mounted) execFileSync('umount', [disk]);
    await rm(disk, { recursive: true, force: true });
  });

  it('one clear error; files, directories and a store stay as they were, and the store resumes', async ({
    skip,
  }) => {
    if (!mounted) skip('needs root to mount a 2 MB tmpfs');
    const file = join(disk, 'weights');
    await writeFileAtomic(file, 'good');
    await replaceDirectory(join(disk, 'checkpoint'), (partial) => writeFile(join(partial, 'x'), 'good'));
    const store = fileDirectory(join(disk, 'store'));
    const width = 16;
    const options = { width, columns: ['tokenIds'], shardBytes: 100_000, existing: 'resume' } as const;
    const writer = await openStoreWriter(store, options);
    const error = await errorOf(async () => {
      for (let row = 0; row < 200_000; row += 500)
        await writer.append(makeBatch(row, row + 500, width), { position: row + 500 });
    });
    expect(error.message).toMatch(
      /store\/shard-\d+\.safetensors: the disk is full; nothing that was there before has changed/,
    );
    expect(await errorOf(() => writer.close())).toBe(error);
    const { rows } = writer.committed;
    expect(rows).toBeGreaterThan(10_000);

    const big = new Uint8Array(4 << 20);
    expect((await errorOf(() => writeFileAtomic(file, big))).message).toMatch(/weights: the disk is full/);
    const replacing = replaceDirectory(join(disk, 'checkpoint'), (partial) =>
      writeFile(join(partial, 'x'), big),
    );
    expect((await errorOf(() => replacing)).message).toMatch(/checkpoint: the disk is full/);
    expect(await readFile(file, 'utf8')).toBe('good');
    expect(await readFile(join(disk, 'checkpoint', 'x'), 'utf8')).toBe('good');
    expect((await readdir(disk)).sort()).toEqual(['checkpoint', 'store', 'weights']);

    const kept = await openStore(store);
    expect([kept.length, kept.index.complete, await firstWrongRow(kept)]).toEqual([rows, false, -1]);
    await kept.close();
    execFileSync('mount', ['-o', 'remount,size=8m', disk]); // room again
    const resumed = await openStoreWriter(store, options);
    expect(resumed.committed).toEqual({ rows, position: rows });
    await resumed.append(makeBatch(rows, rows + 500, width));
    await resumed.close();
    const whole = await openStore(store);
    expect([whole.length, await firstWrongRow(whole)]).toEqual([rows + 500, -1]);
    await whole.close();
  });
});
