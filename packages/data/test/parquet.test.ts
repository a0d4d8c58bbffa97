import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMsaeError } from '@msae/schema';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { parquetRows, readRows } from '../src/index.ts';
import { errorOf } from './expectError.ts';

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(import.meta.dirname, 'fixtures', name)));
const expected = JSON.parse(new TextDecoder().decode(await fixture('expected.json'))) as {
  a: number[];
  halfRows: number[];
};
const a = expected.a.map(Math.fround);

describe('Parquet files of pyarrow', () => {
  it('reads lists with token columns, across row groups', async () => {
    const rows = await parquetRows(await fixture('list.parquet'));
    expect([rows.width, rows.length, rows.pieces]).toEqual([5, 7, [3, 3, 1]]);
    const all = await readRows(rows);
    expect([...all.data]).toEqual(a);
    expect([...all.tokenIds!]).toEqual([100, 101, 102, 103, 104, 105, 106]);
    expect([...all.docIds!]).toEqual([0, 0, 0, 1, 1, 2, 2]);
    expect(all.positions).toBe(undefined);
    const some = await readRows(rows, 2, 7);
    expect([...some.data]).toEqual(a.slice(10));
    expect([...some.tokenIds!]).toEqual([102, 103, 104, 105, 106]);
  });

  it('reads fixed-size lists (gzip), one column per dimension (doubles), and half floats (pages v2)', async () => {
    expect([...(await readRows(await parquetRows(await fixture('fixed.parquet')))).data]).toEqual(a);
    expect([...(await readRows(await parquetRows(await fixture('columns.parquet')))).data]).toEqual(a);
    expect([...(await readRows(await parquetRows(await fixture('half.parquet')))).data]).toEqual(
      expected.halfRows,
    );
    const two = await parquetRows(await fixture('columns.parquet'), { column: ['d4', 'd0'] });
    expect([...(await readRows(two, 1, 2)).data]).toEqual([a[9], a[5]]);
  });

  it('reads byte stream split, run lengths, and dictionaries of many bits', async () => {
    expect([...(await readRows(await parquetRows(await fixture('split.parquet')))).data]).toEqual(a);
    const constant = await parquetRows(await fixture('constant.parquet'));
    expect([constant.length, constant.width, constant.pieces]).toEqual([3000, 4, [2000, 1000]]);
    expect((await readRows(constant)).data.every((value, i) => value === (i % 2) * 1.5)).toBe(true);
    const many = await readRows(await parquetRows(await fixture('dictionary.parquet')));
    expect([...many.data]).toEqual(
      Array.from({ length: 2000 }, (_, i) => (i % 2 ? -((i - 1) / 2) || 0 : (i / 2) % 300)),
    );
  });

  it('takes decompressors, and says what it cannot decode', async () => {
    const zstd = await fixture('zstd.parquet');
    expect((await errorOf(async () => parquetRows(zstd, { name: 'p' }))).message).toMatch(
      /^p: column acts: the page at byte 4 is compressed by ZSTD; pass its decompressor in compressors/,
    );
    let asked = 0;
    const ZSTD = (_: Uint8Array, size: number): Uint8Array => {
      asked++;
      return new Uint8Array(size + 1);
    };
    expect(
      (await errorOf(async () => parquetRows(zstd, { name: 'p', compressors: { ZSTD } }))).message,
    ).toMatch(/expands to \d+ bytes, not/);
    expect(asked).toBe(1);
    expect(
      (await errorOf(async () => readRows(await parquetRows(await fixture('delta.parquet'), { name: 'p' }))))
        .message,
    ).toMatch(/uses encoding 5; plain \(0\), dictionary \(2, 8\) and byte stream split \(9\) are read/);
  });

  it('says which row and column is wrong', async () => {
    const read = async (name: string, options = {}): Promise<unknown> =>
      readRows(await parquetRows(await fixture(name), { name: 'p', ...options }));
    expect((await errorOf(() => read('ragged.parquet'))).message).toBe(
      'p: column acts: row 1 has 1 values, the rows before have 2',
    );
    expect((await errorOf(() => read('nulls.parquet'))).message).toMatch(
      /column acts: row 0, value 1 is null/,
    );
    expect((await errorOf(() => read('list.parquet', { column: 'x' }))).message).toBe(
      'p: there is no column "x"; it has: acts, token_ids, doc_ids, text',
    );
    expect((await errorOf(() => read('list.parquet', { column: 'text' }))).message).toBe(
      'p: column text does not hold lists or numbers',
    );
  });

  it('reads what hyparquet-writer writes', async () => {
    const file = parquetWriteBuffer({
      columnData: [
        { name: 'x', data: [1.5, 2.5, 3.5] },
        { name: 'y', data: [4, 5, 6] },
      ],
    });
    const rows = await parquetRows(file);
    expect([...(await readRows(rows)).data]).toEqual([1.5, 4, 2.5, 5, 3.5, 6]);
  });
});

describe('hostile Parquet files', () => {
  it.each([
    ['empty', new Uint8Array(0)],
    ['short', new Uint8Array(7)],
    ['another format', new Uint8Array(64)],
    ['a metadata length beyond the file', Uint8Array.of(80, 65, 82, 49, 255, 255, 255, 127, 80, 65, 82, 49)],
  ])('%s', async (_, bytes) => {
    const error = await errorOf(() => parquetRows(bytes, { name: 'bad.parquet' }));
    expect(error.message).toMatch(/^bad\.parquet: not a valid Parquet file: /);
  });

  it('does not follow run lengths that a damaged file makes up', async () => {
    // edits that made a decoder which trusts them write a hundred million values
    for (const edits of [
      [
        [558, 117],
        [91, 160],
        [522, 81],
      ],
      [
        [1, 209],
        [88, 216],
        [70, 203],
      ],
      [
        [91, 176],
        [582, 89],
        [25, 160],
      ],
    ]) {
      const bytes = await fixture('half.parquet');
      for (const [at, value] of edits) bytes[at!] = value!;
      const start = performance.now();
      try {
        await readRows(await parquetRows(bytes, { name: 'damaged' }));
      } catch (error) {
        expect((error as Error).message).toMatch(/^damaged: column acts: the page at byte \d+ /);
      }
      expect(performance.now() - start).toBeLessThan(1000);
    }
  });

  it('either reads a damaged file or says why not, in bounded memory', async () => {
    for (const name of ['list.parquet', 'half.parquet', 'columns.parquet', 'fixed.parquet']) {
      const good = await fixture(name);
      await fc.assert(
        fc.asyncProperty(
          fc.option(fc.nat(good.length)),
          fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }),
          async (length, edits) => {
            const bytes = good.slice(0, length ?? good.length);
            for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
            const before = process.memoryUsage().arrayBuffers;
            try {
              await readRows(await parquetRows(bytes, { name: 'damaged' }));
            } catch (error) {
              expect(isMsaeError(error)).toBe(true);
              expect((error as Error).message).toMatch(/^damaged/);
            }
            expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64e6);
          },
        ),
        { numRuns: 500 },
      );
    }
  }, 60_000);
});
