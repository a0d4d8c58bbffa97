/**
 * The activation store against the disk it is on: MB/s written and read shuffled, beside the same bytes written and
 * read plainly, and the peak memory of each.
 *
 *     npx tsx tools/bench/store.ts [--gb 2] [--width 768] [--dtype F16] [--dir /some/disk] [--keep]
 *
 * Every phase is a process of its own, so that memory is its own; before each read the files are dropped from the
 * page cache where `dd` can (Linux). MB are 10^6 bytes on disk.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openStore, openStoreWriter, streamRows } from '@msae/data';
import { fileDirectory } from '@msae/data/node';

const { values } = parseArgs({
  options: {
    gb: { type: 'string', default: '2' },
    width: { type: 'string', default: '768' },
    dtype: { type: 'string', default: 'F16' },
    dir: { type: 'string', default: tmpdir() },
    keep: { type: 'boolean', default: false },
    phase: { type: 'string' },
    store: { type: 'string' },
  },
});
const width = Number(values.width);
const dtype = values.dtype as 'F16' | 'BF16' | 'F32';
const totalBytes = Number(values.gb) * 1e9;
const batchSize = 4096;

interface Result {
  bytes: number;
  seconds: number;
}

const phases: Record<string, (path: string) => Promise<Result>> = {
  'plain write': plainWrite,
  'store write': storeWrite,
  'plain read': plainRead,
  'store read, shuffled': (path) => storeRead(path, { shuffle: 1 }),
  'store read, shuffled, not verified': (path) => storeRead(path, { shuffle: 1, verify: false }),
  'store read, in order': (path) => storeRead(path, { shuffle: false }),
};

if (values.phase && values.store) {
  const result = await phases[values.phase]!(values.store);
  console.log(JSON.stringify({ ...result, peak: process.resourceUsage().maxRSS * 1024 }));
} else {
  await main();
}

async function main(): Promise<void> {
  const base = await mkdtemp(join(values.dir, 'msae-bench-'));
  const path = join(base, 'store');
  console.log(`${values.gb} GB of ${dtype} rows of ${width} in ${base}`);
  try {
    for (const phase of Object.keys(phases)) {
      if (phase.includes('read')) await dropFromCache(path);
      const args = ['--import', 'tsx', import.meta.filename, '--phase', phase, '--store', path];
      for (const name of ['gb', 'width', 'dtype'] as const) args.push(`--${name}`, values[name]);
      const { bytes, seconds, peak } = JSON.parse(
        execFileSync(process.execPath, args).toString(),
      ) as Result & { peak: number };
      const rate = (bytes / 1e6 / seconds).toFixed(0).padStart(6);
      console.log(
        `${phase.padEnd(36)}${rate} MB/s   peak ${(peak / 1e6).toFixed(0)} MB   (${(bytes / 1e9).toFixed(2)} GB)`,
      );
    }
  } finally {
    if (!values.keep) await rm(base, { recursive: true });
  }
}

/** Rows that are no easier to write than real ones. */
function someRows(): Float32Array {
  let state = 1;
  return Float32Array.from({ length: batchSize * width }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 30;
  });
}

async function plainWrite(path: string): Promise<Result> {
  const chunk = new Uint8Array(4 << 20);
  chunk.set(new Uint8Array(someRows().buffer).subarray(0, chunk.length));
  const start = performance.now();
  const handle = await open(`${path}.plain`, 'w');
  let bytes = 0;
  for (; bytes < totalBytes; bytes += chunk.length) await handle.write(chunk);
  await handle.sync();
  await handle.close();
  const seconds = (performance.now() - start) / 1000;
  await rm(`${path}.plain`);
  return { bytes, seconds };
}

async function storeWrite(path: string): Promise<Result> {
  const data = someRows();
  const rowBytes = width * (dtype === 'F32' ? 4 : 2) + 8;
  const column = new Int32Array(batchSize);
  const start = performance.now();
  const writer = await openStoreWriter(fileDirectory(path), {
    width,
    dtype,
    columns: ['tokenIds', 'docIds'],
  });
  for (let bytes = 0; bytes < totalBytes; bytes += batchSize * rowBytes) {
    await writer.append({ data, rows: batchSize, width, tokenIds: column, docIds: column });
  }
  await writer.close();
  return { bytes: writer.committed.rows * rowBytes, seconds: (performance.now() - start) / 1000 };
}

async function plainRead(path: string): Promise<Result> {
  const chunk = new Uint8Array(4 << 20);
  const start = performance.now();
  let bytes = 0;
  for (const file of await readdir(path)) {
    const handle = await open(join(path, file));
    for (let got = 1; got > 0; bytes += got) got = (await handle.read(chunk)).bytesRead;
    await handle.close();
  }
  return { bytes, seconds: (performance.now() - start) / 1000 };
}

async function storeRead(
  path: string,
  options: { shuffle: number | false; verify?: boolean },
): Promise<Result> {
  const { verify = true, shuffle } = options;
  const start = performance.now();
  const store = await openStore(fileDirectory(path), { verify });
  const stream = streamRows(store, { shuffle });
  let rows = 0;
  for await (const batch of stream.batches({ batchSize })) rows += batch.rows;
  await stream.close();
  const rowBytes = width * (dtype === 'F32' ? 4 : 2) + 8;
  return { bytes: rows * rowBytes, seconds: (performance.now() - start) / 1000 };
}

async function dropFromCache(path: string): Promise<void> {
  for (const file of await readdir(path).catch(() => [])) {
    try {
      execFileSync('dd', [`if=${join(path, file)}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
    } catch {
      return; // no GNU dd: the reads come from the cache
    }
  }
}
