import { mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  encodeSafetensors,
  fromUrl,
  httpDirectory,
  memoryDirectory,
  openStore,
  openStoreWriter,
  readRows,
  readSafetensors,
  streamRows,
  type WritableDirectory,
} from '../src/index.ts';
import { fileDirectory, openFile, openRows } from '../src/node/index.ts';
import type { StoreIndex } from '../src/store/storeIndex.ts';
import type { StoreWriterOptions } from '../src/store/storeWriter.ts';
import { errorOf } from './expectError.ts';
import { firstWrongRow, makeBatch } from './storeRows.ts';

const width = 12;
const allColumns = { columns: ['tokenIds', 'positions', 'docIds'] } as const;

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'msae-store-'));
});
afterAll(() => rm(temporary, { recursive: true }));

/** Writes rows [0, rows) in appends of `step`. */
async function write(
  directory: WritableDirectory,
  rows: number,
  options: Partial<StoreWriterOptions> & { step?: number } = {},
): Promise<void> {
  const { step = 100, ...rest } = options;
  const writer = await openStoreWriter(directory, { width, ...allColumns, shardBytes: 20_000, ...rest });
  for (let row = writer.committed.rows; row < rows; row += step) {
    await writer.append(makeBatch(row, Math.min(rows, row + step), width), {
      position: { next: Math.min(rows, row + step) },
    });
  }
  await writer.close();
}

describe('the store', () => {
  it.each(['F16', 'BF16', 'F32'] as const)(
    'keeps %s activations and tokens in shards, on disk',
    async (dtype) => {
      const path = join(temporary, dtype);
      await write(fileDirectory(path), 5050, { dtype });
      const store = await openStore(fileDirectory(path));
      expect([store.length, store.width, store.index.complete, store.index.position]).toEqual([
        5050,
        width,
        true,
        { next: 5050 },
      ]);
      expect(store.index.shards.length).toBeGreaterThan(5);
      expect(await firstWrongRow(store)).toBe(-1);
      await store.verify();
      await store.close();
      expect(
        (await readdir(path)).filter((name) => !/^(index\.json|shard-\d{6}\.safetensors)$/.test(name)),
      ).toEqual([]);
      const shard = await readSafetensors(await openFile(join(path, 'shard-000001.safetensors'))); // any reader can open a shard
      expect([...shard.tensors.keys()].sort()).toEqual(['activations', 'checksums', 'tokens']);
      await shard.close();
    },
  );

  it('reads any range, whatever the appends and shards were', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 30_000 }),
        fc.nat(),
        fc.nat(),
        async (appends, shardBytes, a, b) => {
          const directory = memoryDirectory();
          const writer = await openStoreWriter(directory, { width, ...allColumns, shardBytes });
          let rows = 0;
          for (const count of appends) {
            await writer.append(makeBatch(rows, rows + count, width));
            rows += count;
          }
          await writer.close();
          const store = await openStore(directory);
          const [begin, end] = [a % (rows + 1), b % (rows + 1)].sort((x, y) => x - y) as [number, number];
          const { data, tokenIds } = await readRows(store, begin, end);
          const expected = makeBatch(begin, end, width);
          expect(data).toEqual(expected.data);
          expect(tokenIds).toEqual(expected.tokenIds);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('streams shuffled: every row once, with its own token', async () => {
    const directory = memoryDirectory();
    await write(directory, 20_000, { shardBytes: 100_000 });
    const stream = streamRows(await openStore(directory), { shuffle: 7, bufferBytes: 400_000 });
    const seen = new Uint8Array(20_000);
    for await (const { rows, data, tokenIds, docIds } of stream.batches({ batchSize: 512 })) {
      for (let i = 0; i < rows; i++) {
        const row = tokenIds![i]!;
        seen[row]! += 1;
        expect(docIds![i]).toBe(Math.floor(row / 64));
        expect(data[i * width]).toBe(makeBatch(row, row + 1, width).data[0]);
      }
    }
    expect(seen.every((count) => count === 1)).toBe(true);
  });

  it('reads ranges without loading a shard', async () => {
    const directory = memoryDirectory();
    await write(directory, 4000, { width, columns: [], shardBytes: 1 << 20 });
    let bytes = 0;
    const counting = {
      name: 'counting',
      async open(file: string) {
        const source = await directory.open(file);
        const read = (offset: number, length: number): Promise<Uint8Array> => {
          bytes += length;
          return source.read(offset, length);
        };
        return { name: source.name, size: source.size, read };
      },
    };
    const store = await openStore(counting, { verify: false });
    bytes = 0;
    await readRows(store, 1000, 1010);
    expect(bytes).toBeLessThan(10 * width * 2 + 1000); // the rows and the shard's header
  });

  it('goes on where the last commit was, and tells where', async () => {
    const directory = memoryDirectory();
    const options: StoreWriterOptions = { width, ...allColumns, shardBytes: 20_000, existing: 'resume' };
    const first = await openStoreWriter(directory, options);
    for (let row = 0; row < 800; row += 100) {
      await first.append(makeBatch(row, row + 100, width), { position: row + 100 });
      if (row === 600) await first.flush();
    }
    const { rows, position } = await openStoreWriter(directory, options).then((writer) => writer.committed);
    expect(rows).toBe(700); // what was not committed is gone
    expect(position).toBe(rows);
    await write(directory, 2345, { existing: 'resume' });
    const store = await openStore(directory);
    expect([store.length, await firstWrongRow(store)]).toEqual([2345, -1]);
    await write(directory, 3000, { existing: 'resume' }); // a complete store can grow
    expect((await openStore(directory)).length).toBe(3000);
    await write(directory, 10, { existing: 'replace' });
    expect((await openStore(directory)).length).toBe(10);
    expect([...directory.files.keys()].sort()).toEqual(['index.json', 'shard-000000.safetensors']);
  });

  it('removes a shard that was written but not committed', async () => {
    const directory = memoryDirectory();
    await write(directory, 1000);
    directory.files.set('shard-000099.safetensors', new Uint8Array(5));
    directory.files.set('notes.txt', new Uint8Array(5));
    await write(directory, 1000, { existing: 'resume' });
    expect(directory.files.has('shard-000099.safetensors')).toBe(false);
    expect(directory.files.has('notes.txt')).toBe(true);
  });
});

describe('writing what does not fit', () => {
  const writerFor = (options: Partial<StoreWriterOptions> = {}, directory = memoryDirectory('store')) =>
    openStoreWriter(directory, { width, ...options });

  it('a width that changes midway: an error, and the rows before it are kept', async () => {
    const directory = memoryDirectory('store');
    const writer = await writerFor(allColumns, directory);
    await writer.append(makeBatch(0, 10, width));
    const error = await errorOf(() => writer.append(makeBatch(10, 20, width + 1)));
    expect(error.message).toBe(
      'store: the batch at row 10 has width 13, the store has 12; rows before it are kept',
    );
    await writer.close();
    expect((await openStore(directory)).length).toBe(10);
  });

  it('NaN, values beyond float16, missing columns, a store that is there, another shape', async () => {
    const bad = makeBatch(0, 10, width);
    bad.data[5 * width + 3] = Number.NaN;
    expect((await errorOf(async () => (await writerFor()).append(bad))).message).toBe(
      'store: row 5, column 3 is NaN; activations must be finite',
    );
    bad.data[5 * width + 3] = -70_000;
    expect((await errorOf(async () => (await writerFor()).append(bad))).message).toMatch(
      /row 5, column 3 is -70000, beyond float16's 65504; write the store as BF16 or F32/,
    );
    await (await writerFor({ dtype: 'BF16' })).append(bad);
    const { tokenIds: _, ...without } = makeBatch(0, 10, width);
    expect((await errorOf(async () => (await writerFor(allColumns)).append(without))).message).toMatch(
      /no tokenIds for 10 rows/,
    );
    const there = memoryDirectory('store');
    await (await writerFor({}, there)).close();
    expect((await errorOf(() => writerFor({}, there))).message).toMatch(
      /there is a store already; pass existing/,
    );
    expect((await errorOf(() => writerFor({ dtype: 'F32', existing: 'resume' }, there))).message).toBe(
      'store: cannot resume: the store has width 12, F16, columns []; these are width 12, F32, columns []',
    );
    expect((await errorOf(() => writerFor({ width: 0 }))).message).toMatch(/^store: width: /);
  });
});

describe('a store that was damaged', () => {
  let directory: WritableDirectory & { files: Map<string, Uint8Array> };
  const shardName = 'shard-000001.safetensors';
  beforeAll(async () => {
    directory = memoryDirectory('store');
    await write(directory, 3000);
  });
  /** The store with one file changed. */
  function withFile(file: string, change: (bytes: Uint8Array) => Uint8Array | undefined): typeof directory {
    const copy = memoryDirectory('store');
    for (const [name, bytes] of directory.files) copy.files.set(name, bytes);
    const changed = change(new Uint8Array(directory.files.get(file)!));
    if (changed) copy.files.set(file, changed);
    else copy.files.delete(file);
    return copy;
  }
  const flip = (at: number) => (bytes: Uint8Array) => {
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    return bytes;
  };
  const readAll = async (from: typeof directory): Promise<unknown> => (await openStore(from)).verify();

  it('names the shard, the rows and the bytes of an altered activation', async () => {
    const shard = await readSafetensors(directory.files.get(shardName)!);
    const { offset } = shard.info('activations');
    const error = await errorOf(() => readAll(withFile(shardName, flip(offset + 100))));
    expect(error.message).toMatch(
      /^store\/shard-000001\.safetensors: rows 0 to \d+ \(bytes \d+ to \d+\) do not match their checksum; the shard was altered/,
    );
    await (await openStore(withFile(shardName, flip(offset + 100)), { verify: false })).readInto(
      { data: new Float32Array(width) },
      0,
      600,
      601,
    );
  });

  it('notices altered tokens, checksums and headers', async () => {
    const shard = await readSafetensors(directory.files.get(shardName)!);
    expect(
      (await errorOf(() => readAll(withFile(shardName, flip(shard.info('tokens').offset))))).message,
    ).toMatch(/do not match their checksum/);
    expect((await errorOf(() => readAll(withFile(shardName, flip(-1))))).message).toMatch(
      /header and checksums do not match the index/,
    );
    expect((await errorOf(() => readAll(withFile(shardName, flip(30))))).message).toMatch(
      /^store\/shard-000001/,
    );
  });

  it('names a missing, a truncated and an exchanged shard', async () => {
    expect((await errorOf(() => openStore(withFile(shardName, () => undefined)))).message).toBe(
      `store/${shardName}: this shard is missing; the index names ${(await openStore(directory)).index.shards.length} shards`,
    );
    expect(
      (await errorOf(() => readAll(withFile(shardName, (bytes) => bytes.subarray(0, 500))))).message,
    ).toMatch(/it has 500 bytes, the index says \d+; the shard was altered or truncated/);
    const other = directory.files.get('shard-000002.safetensors')!;
    expect((await errorOf(() => readAll(withFile(shardName, () => other)))).message).toMatch(/the index/);
    const foreign = await encodeSafetensors([{ name: 'x', shape: [1], data: Float32Array.of(1) }]);
    expect((await errorOf(() => readAll(withFile(shardName, () => foreign)))).message).toMatch(
      /the index says/,
    );
  });

  it('checks the index', async () => {
    const edit = (change: (index: StoreIndex & Record<string, unknown>) => void) =>
      withFile('index.json', (bytes) => {
        const index = JSON.parse(new TextDecoder().decode(bytes)) as StoreIndex & Record<string, unknown>;
        change(index);
        return new TextEncoder().encode(JSON.stringify(index));
      });
    const cases: [(index: StoreIndex & Record<string, unknown>) => void, RegExp][] = [
      [(index) => Object.assign(index, { version: 2 }), /version: /],
      [(index) => Object.assign(index, { width: -1 }), /width: /],
      [(index) => Object.assign(index, { dtype: 'I8' }), /dtype: /],
      [(index) => Object.assign(index, { rows: 2 ** 60 }), /rows: /],
      [(index) => Object.assign(index, { rows: 5 }), /rows: it says 5, but the shards' rows add up to 3000/],
      [
        (index) => Object.assign(index.shards[0]!, { file: '../../etc/passwd' }),
        /shards\.0\.file: expected a plain file name/,
      ],
      [(index) => Object.assign(index.shards[0]!, { file: index.shards[1]!.file }), /a file is named twice/],
      [(index) => Object.assign(index, { width: 2 ** 40 }), /do not fit/],
      [(index) => Object.assign(index, { blockRows: 0 }), /blockRows: /],
      [(index) => Object.assign(index, { shards: undefined }), /shards: is missing/],
    ];
    for (const [change, message] of cases) {
      const error = await errorOf(() => openStore(edit(change)));
      expect(error.message).toMatch(/^store\/index\.json: not a valid store index: /);
      expect(error.message).toMatch(message);
    }
    const huge = edit((index) => {
      Object.assign(index.shards[0]!, { rows: 2 ** 46, bytes: 2 ** 52 });
      Object.assign(index, { blockRows: 1, rows: index.shards.reduce((sum, entry) => sum + entry.rows, 0) });
    });
    expect((await errorOf(() => openStore(huge))).message).toMatch(
      /has \d+ bytes, the index says 4503599627370496/,
    );
    const nested = withFile('index.json', () => new TextEncoder().encode('['.repeat(500_000)));
    expect((await errorOf(() => openStore(nested))).message).toMatch(/^store\/index\.json: not a valid/);
    expect((await errorOf(() => openStore(memoryDirectory('none')))).message).toBe(
      'none/index.json: there is no such file',
    );
  });

  it('never hands out a wrong row, whatever byte was flipped', async () => {
    const names = [...directory.files.keys()];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (name, at, mask) => {
          const broken = withFile(name, (bytes) => {
            bytes[at % bytes.length]! ^= mask;
            return bytes;
          });
          let store: Awaited<ReturnType<typeof openStore>>;
          try {
            store = await openStore(broken);
            await store.verify();
          } catch (error) {
            expect((error as Error).constructor).toBe(Error);
            expect((error as Error).message).toMatch(/^store\//);
            return;
          }
          if (name !== 'index.json')
            throw new Error(`byte ${at % directory.files.get(name)!.length} of ${name} went unnoticed`);
          expect(await firstWrongRow(store)).toBe(-1); // a digit of the position, white space: the rows are right
        },
      ),
      { numRuns: 200 },
    );
  });

  it('on disk', async () => {
    const path = join(temporary, 'damaged');
    await write(fileDirectory(path), 1000);
    await truncate(join(path, shardName), 100);
    const store = await openStore(fileDirectory(path));
    expect((await errorOf(() => store.verify())).message).toMatch(/it has 100 bytes/);
    await store.close();
    await unlink(join(path, shardName));
    expect((await errorOf(() => openRows(path))).message).toMatch(/is missing/);
    await writeFile(join(temporary, 'file.txt'), '');
    expect((await errorOf(() => openRows(join(temporary, 'file.txt')))).message).toMatch(
      /expected a store's directory or a file ending in \.npy/,
    );
    expect((await errorOf(() => openRows(join(temporary, 'nowhere')))).message).toMatch(
      /no such file or directory/,
    );
    expect((await errorOf(() => openRows(temporary))).message).toMatch(/no index\.json/);
  });
});

describe('over HTTP', () => {
  let server: Server;
  let base: string;
  let sent = 0;
  let busy = 0;
  beforeAll(async () => {
    const path = join(temporary, 'http');
    await write(fileDirectory(path), 3000, { shardBytes: 40_000 });
    server = createServer(async (request, response) => {
      const bytes = await readFile(join(path, request.url!.replace('/plain', ''))).catch(() => undefined);
      if (busy > 0) {
        busy--;
        response.writeHead(503).end();
        return;
      }
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      if (!bytes) response.writeHead(404).end();
      else if (!range || request.url!.startsWith('/plain')) response.writeHead(200).end(bytes);
      else {
        const part = bytes.subarray(Number(range[1]), Number(range[2]) + 1);
        sent += part.length;
        response
          .writeHead(206, { 'content-range': `bytes ${range[1]}-${range[2]}/${bytes.length}` })
          .end(part);
      }
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  });
  afterAll(() => new Promise((done) => server.close(done)));

  it('reads by range requests what it needs', async () => {
    const store = await openRows(base);
    expect(await firstWrongRow(store)).toBe(-1);
    sent = 0;
    await readRows(await openStore(httpDirectory(base), { verify: false }), 2990, 3000);
    expect(sent).toBeLessThan(10_000);
  });

  it('tries again when the server is busy, and not for ever', async () => {
    busy = 2;
    expect((await fromUrl(`${base}/index.json`)).size).toBeGreaterThan(100);
    busy = 9;
    expect((await errorOf(() => fromUrl(`${base}/index.json`, { retries: 1 }))).message).toMatch(
      /the server answered 503/,
    );
    busy = 0;
  });

  it('says what is wrong with a server', async () => {
    expect((await errorOf(() => fromUrl(`${base}/none.npy`))).message).toMatch(/the server answered 404/);
    expect((await errorOf(() => fromUrl(`${base}/plain/index.json`))).message).toMatch(
      /does not honour range requests/,
    );
    expect((await errorOf(() => fromUrl('http://127.0.0.1:9/x', { retries: 0 }))).message).toMatch(
      /the request failed/,
    );
  });
});
