import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRng } from '@msae/sampler';
import { expect, it } from 'vitest';
import { openStore } from '../src/index.ts';
import { fileDirectory } from '../src/node/index.ts';
import { firstWrongRow } from './storeRows.ts';

/** Starts the writer and kills it `after` ms after it began to write; resolves to what it had found committed. */
function runKilled(
  directory: string,
  rows: number,
  after: number,
): Promise<{ rows: number; finished: boolean }> {
  return new Promise((done, failed) => {
    const script = join(import.meta.dirname, 'killedWriter.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', script, directory, String(rows)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let found = 0;
    child.stdout.on('data', (line: Buffer) => {
      const committed = JSON.parse(line.toString()) as { rows: number; position: number | null };
      if (committed.rows > 0 && committed.position !== committed.rows)
        failed(new Error('position is not that of the last row'));
      found = committed.rows;
      setTimeout(() => child.kill('SIGKILL'), after);
    });
    child.on('error', failed);
    child.on('exit', (code) =>
      code === 0 || code === null
        ? done({ rows: found, finished: code === 0 })
        : failed(new Error(`exit ${code}`)),
    );
  });
}

it('a writer killed again and again loses and doubles nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'msae-killed-'));
  const rng = createRng(Date.now()); // random on purpose: any moment must do
  const rows = 150_000;
  let before = 0;
  for (let kill = 0; kill < 6; kill++) {
    const { rows: found } = await runKilled(directory, rows, 5 + rng.int(120));
    expect(found).toBeGreaterThanOrEqual(before);
    before = found;
    const store = await openStore(fileDirectory(directory)); // valid at every moment
    expect(await firstWrongRow(store)).toBe(-1);
    await store.close();
  }
  expect((await runKilled(directory, rows, 60_000)).finished).toBe(true);
  const store = await openStore(fileDirectory(directory));
  expect([store.length, store.index.complete, await firstWrongRow(store)]).toEqual([rows, true, -1]);
  await store.close();
  expect((await readdir(directory)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  await rm(directory, { recursive: true });
}, 60_000);
