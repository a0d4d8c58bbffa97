import { expect, it } from 'vitest';
import { encodeNpz } from '../src/formats/npz.ts';
import {
  fromBlob,
  httpDirectory,
  openStore,
  openStoreWriter,
  opfsDirectory,
  readNpz,
  readRows,
  streamRows,
  toyTree,
} from '../src/index.ts';
import { firstWrongRow, makeBatch } from './storeRows.ts';

it('keeps a store in OPFS: writes, resumes, verifies, shuffles', async () => {
  const root = await navigator.storage.getDirectory();
  const name = `store-${Date.now()}`;
  const directory = opfsDirectory(await root.getDirectoryHandle(name, { create: true }));
  const options = {
    width: 16,
    columns: ['tokenIds', 'positions', 'docIds'],
    shardBytes: 40_000,
    existing: 'resume',
  } as const;
  const writer = await openStoreWriter(directory, options);
  for (let row = 0; row < 3000; row += 300) await writer.append(makeBatch(row, row + 300, 16));
  await writer.flush();
  const resumed = await openStoreWriter(directory, options);
  expect(resumed.committed.rows).toBe(3000);
  await resumed.append(makeBatch(3000, 3500, 16));
  await resumed.close();
  const store = await openStore(directory);
  expect([store.length, await firstWrongRow(store)]).toEqual([3500, -1]);
  let rows = 0;
  for await (const batch of streamRows(store, { shuffle: 1, bufferBytes: 80_000 }).batches({
    batchSize: 256,
  }))
    rows += batch.rows;
  expect(rows).toBe(3500);
  await root.removeEntry(name, { recursive: true });
});

it('reads files by Blob, and says when a server is not there', async () => {
  const bytes = encodeNpz({ x: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] } }, { compress: true });
  const npz = await readNpz(fromBlob(new File([bytes as Uint8Array<ArrayBuffer>], 'x.npz')));
  expect([...(await readRows(await npz.rows('x'))).data]).toEqual([1, 2, 3, 4]);
  await expect(openStore(httpDirectory('http://127.0.0.1:9/store', { retries: 0 }))).rejects.toThrow(
    /the request failed/,
  );
});

it('makes the same toy data as in Node', () => {
  // recorded from Node: which of 10 × 20 activations fire, and the sum of magnitudes of x
  const { x, activations } = toyTree({ seed: 0 }).sample(10);
  const firing = [...activations.keys()].filter((i) => activations[i] !== 0);
  expect(firing).toEqual([28, 30, 40, 48, 55, 88, 91, 100, 102, 139, 140, 168, 198]);
  expect(x.reduce((a, b) => a + Math.abs(b), 0)).toBeCloseTo(36.07858, 4);
});
