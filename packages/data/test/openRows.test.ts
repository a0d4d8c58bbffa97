import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeSafetensors, readRows, readSafetensors, streamRows, tensorRows } from '../src/index.ts';
import { openRows } from '../src/node/index.ts';
import { errorOf } from './expectError.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const { a } = JSON.parse(await readFile(join(fixtures, 'expected.json'), 'utf8')) as { a: number[] };

describe('openRows', () => {
  it.each([
    ['c_f4.npy'],
    ['fortran_f8.npy'],
    ['plain.npz', 'acts'],
    ['deflated.npz', 'acts'],
    ['numpy.safetensors', 'weight'],
    ['list.parquet'],
    ['columns.parquet'],
  ])('%s gives the same rows, streamed', async (file, key?: string) => {
    const rows = await openRows(join(fixtures, file), key === undefined ? {} : { key });
    const stream = streamRows(rows);
    const got: number[] = [];
    for await (const batch of stream.batches({ batchSize: 3 })) got.push(...batch.data);
    await stream.close();
    expect(got).toEqual(a.map(Math.fround));
  });

  it('asks which array when there are several', async () => {
    expect((await errorOf(() => openRows(join(fixtures, 'plain.npz')))).message).toMatch(
      /name the array .* it has: acts, ids/,
    );
    expect((await errorOf(() => openRows(join(fixtures, 'numpy.safetensors')))).message).toMatch(
      /name the tensor/,
    );
    expect((await errorOf(() => openRows(join(fixtures, 'plain.npz'), { key: 'ids' }))).message).toMatch(
      /ids\.npy: shape \(7\) does not make rows/,
    );
  });

  it('names path and what is wrong for an empty file of every format', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'msae-empty-'));
    for (const extension of ['npy', 'npz', 'safetensors', 'parquet']) {
      const path = join(directory, `x.${extension}`);
      await writeFile(path, '');
      const error = await errorOf(() => openRows(path));
      expect(error.message.startsWith(`${path}: not a valid `)).toBe(true);
    }
    await rm(directory, { recursive: true });
  });
});

describe('tensorRows', () => {
  it('takes the only matrix, flattens leading dimensions, reads by row', async () => {
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    const file = await readSafetensors(
      await encodeSafetensors([
        { name: 'x', dtype: 'BF16', shape: [2, 3, 4], data },
        { name: 'scale', shape: [4], data: Float32Array.of(1, 2, 3, 4) },
      ]),
      { name: 'f' },
    );
    const rows = tensorRows(file);
    expect([rows.name, rows.width, rows.length]).toEqual(['f:x', 4, 6]);
    expect([...(await readRows(rows, 4, 6)).data]).toEqual([16, 17, 18, 19, 20, 21, 22, 23]);
    expect((await errorOf(() => readRows(rows, 4, 7))).message).toBe(
      'f:x: rows [4, 7) were asked for, but there are rows 0 to 6',
    );
    expect((await errorOf(() => tensorRows(file, 'scale'))).message).toMatch(
      /^f:scale: shape \[4\] does not make rows/,
    );
  });
});
