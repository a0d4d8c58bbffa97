import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ActivationBatch,
  memoryDirectory,
  openStore,
  readRows,
  type WritableDirectory,
} from '@msae/data';
import { fileDirectory } from '@msae/data/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { harvestToStores } from '../src/index.ts';
import { storeFolders } from '../src/node/index.ts';
import { brownLm, distance, documents, open, path, recogniser } from './helpers.ts';
import { killedHarvest } from './killedHarvest.ts';

const taps = ['blocks.2.resid_post', 'blocks.0.mlp_out'];
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'msae-harvest-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function contents(directory: WritableDirectory): Promise<ActivationBatch> {
  const store = await openStore(directory);
  await store.verify();
  const rows = await readRows(store, 0, store.length);
  await store.close();
  return rows;
}

const same = (a: ActivationBatch, b: ActivationBatch) => {
  expect(a.rows).toBe(b.rows);
  for (const column of ['tokenIds', 'positions', 'docIds'] as const) expect(a[column]).toEqual(b[column]);
  expect(distance(a.data, b.data)).toBeLessThan(1e-5);
};

/** Kills the harvesting process, with no chance to clean up, once it has said `after` rows. */
function killAfter(out: string, after: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', path('children/harvest.ts'), out]);
    let said = '';
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (Number(said.trim().split('\n').at(-1)) >= after) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('exit', (_, signal) => {
      if (signal === 'SIGKILL') resolve(Number(said.trim().split('\n').at(-1)));
      else reject(new Error(`the child ended by itself: ${errors}`));
    });
  });
}

describe('harvestToStores', () => {
  it('killed twice and resumed, it has lost no token and doubled none', async () => {
    const { model, documents: docs, options } = await killedHarvest();
    const total = docs.reduce((sum, { ids }) => sum + ids.length, 0);
    const whole = taps.map((tap) => ({ tap, directory: memoryDirectory() }));
    const uninterrupted = await harvestToStores(model, docs, { ...options, stores: whole });
    expect([uninterrupted.rows, uninterrupted.complete]).toEqual([total, true]);

    const out = join(folder, 'killed');
    const stores = storeFolders(out, taps);
    for (const after of [3000, 9000]) {
      await killAfter(out, after);
      for (const { directory } of stores) {
        const store = await openStore(directory);
        await store.verify();
        expect(store.index.complete).toBe(false);
        expect(store.length).toBeGreaterThan(0);
        expect(store.length).toBeLessThan(total);
        await store.close();
      }
    }
    const resumed = await harvestToStores(model, docs, { ...options, stores });
    expect(resumed.resumedAt).toBeGreaterThan(0);
    expect([resumed.rows, resumed.complete]).toEqual([total, true]);
    for (const [i, { directory }] of stores.entries()) {
      same(await contents(directory), await contents(whole[i]!.directory));
      expect((await readdir(join(out, taps[i]!))).filter((file) => file.endsWith('.partial'))).toEqual([]);
    }
    // once more: nothing is left to do
    const again = await harvestToStores(model, docs, { ...options, stores });
    expect([again.newRows, again.complete]).toEqual([0, true]);
  });

  it('aborted, it commits what it has; a longer maxTokens goes on', async () => {
    const { model, documents: docs, options } = await killedHarvest();
    const [tap] = taps as [string];
    const [whole, parts] = [memoryDirectory(), memoryDirectory()];
    await harvestToStores(model, docs, { ...options, stores: [{ tap, directory: whole }], maxTokens: 5000 });
    const abort = new AbortController();
    const settings = { ...options, stores: [{ tap, directory: parts }] };
    const first = await harvestToStores(model, docs, {
      ...settings,
      signal: abort.signal,
      onProgress: ({ rows }) => rows > 1000 && abort.abort(new Error('enough')),
    });
    expect(first.complete).toBe(false);
    expect((await contents(parts)).rows).toBe(first.rows);
    await harvestToStores(model, docs, { ...settings, maxTokens: 3001 });
    expect((await contents(parts)).rows).toBe(3001);
    await harvestToStores(model, docs, { ...settings, maxTokens: 5000 });
    same(await contents(parts), await contents(whole));
  });

  it('writes float16 that differs by no more than its rounding', async () => {
    const { model, documents: docs, options } = await killedHarvest();
    const [tap] = taps as [string];
    const [half, single] = [memoryDirectory(), memoryDirectory()];
    for (const [directory, dtype] of [[half, 'F16'] as const, [single, 'F32'] as const]) {
      const stores = [{ tap, directory }];
      await harvestToStores(model, docs, { ...options, stores, dtype, maxTokens: 600 });
    }
    const [a, b] = [await contents(half), await contents(single)];
    for (let i = 0; i < b.data.length; i++) {
      const allowed = Math.max(Math.abs(b.data[i]!) * 2 ** -11, 2 ** -24);
      expect(Math.abs(a.data[i]! - b.data[i]!)).toBeLessThanOrEqual(allowed * 1.0001);
    }
  });

  it('does not resume what came of another model, tap, text or way of batching', async () => {
    const { model, documents: docs, options } = await killedHarvest();
    const [tap, otherTap] = taps as [string, string];
    const directory = memoryDirectory('a store');
    const settings = { ...options, stores: [{ tap, directory }], maxTokens: 300 };
    await harvestToStores(model, docs, settings);
    const before = await contents(directory);
    const attempts = [
      [{ origin: 'another text' }, 'origin is a test'],
      [{ contextLength: 32 }, 'contextLength is 64'],
      [{ batchSize: 9 }, 'batchSize is 8'],
      [{ stores: [{ tap: otherTap, directory }] }, 'tap is blocks.2.resid_post'],
      [{ dtype: 'F16' as const, maxTokens: 600 }, 'F32'],
    ] as const;
    for (const [change, message] of attempts) {
      await expect(harvestToStores(model, docs, { ...settings, ...change })).rejects.toThrow(message);
    }
    const other = await open(path('fixtures/pre-gelu-dynamo.onnx'));
    await expect(
      harvestToStores(other.model, documents([1, 2]), {
        ...settings,
        stores: [{ tap: 'blocks.0.resid_post', directory }],
      }),
    ).rejects.toThrow('cannot resume');
    same(await contents(directory), before);
  });

  it('on a full disk, says so and keeps what was committed', async () => {
    const { model, documents: docs, options } = await killedHarvest();
    const memory = memoryDirectory('full');
    let shards = 0;
    const full: WritableDirectory = {
      ...memory,
      async write(file, chunks) {
        if (file.startsWith('shard') && ++shards > 2) throw new Error(`${file}: the disk is full`);
        return memory.write(file, chunks);
      },
    };
    const settings = { ...options, stores: [{ tap: taps[0]!, directory: full }] };
    await expect(harvestToStores(model, docs, settings)).rejects.toThrow('the disk is full');
    const kept = await contents(memory);
    expect(kept.rows).toBeGreaterThan(0);
    const roomy = { ...options, stores: [{ tap: taps[0]!, directory: memory }] };
    const whole = memoryDirectory();
    await harvestToStores(model, docs, roomy);
    await harvestToStores(model, docs, { ...options, stores: [{ tap: taps[0]!, directory: whole }] });
    same(await contents(memory), await contents(whole));
  });

  it('writes nothing when the model cannot be fed', async () => {
    const { model } = await open(recogniser);
    const directory = fileDirectory(join(folder, 'nothing'));
    const stores = [{ tap: 'p2o.Add.251', directory }];
    await expect(harvestToStores(model, documents([1]), { stores, origin: 'x' })).rejects.toThrow(
      'cannot feed',
    );
    expect(await directory.list()).toEqual([]);
    expect((await open(brownLm)).model.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });
});
