import { msaeError } from '@msae/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ActivationBatch, type ActivationRows, arrayRows, streamRows } from '../src/index.ts';
import type { StreamedRows } from '../src/streamRows.ts';
import { errorOf } from './expectError.ts';

/** Rows whose first column is their own number, in blocks of `blockRows`. */
function numbered(
  length: number,
  { blockRows = 8, width = 2, pieces }: { blockRows?: number; width?: number; pieces?: number[] } = {},
): ActivationRows & { reads: number } {
  const rows = {
    name: 'numbered',
    width,
    length,
    columns: ['tokenIds'] as const,
    blockRows,
    ...(pieces ? { pieces } : {}),
    reads: 0,
    async readInto(
      target: { data: Float32Array; tokenIds?: Int32Array },
      at: number,
      begin: number,
      end: number,
    ) {
      rows.reads++;
      await Promise.resolve();
      for (let row = begin; row < end; row++) {
        target.data.fill(row, (at + row - begin) * width, (at + row - begin + 1) * width);
        target.tokenIds![at + row - begin] = row + 1000;
      }
    },
  };
  return rows;
}

const rowBytes = 4 * 3; // two activations and a token id

async function collect(
  stream: StreamedRows,
  batchSize: number,
  batches = Number.POSITIVE_INFINITY,
): Promise<ActivationBatch[]> {
  const got: ActivationBatch[] = [];
  if (batches === 0) return got;
  for await (const batch of stream.batches({ batchSize })) {
    got.push(batch);
    if (got.length >= batches) break;
  }
  return got;
}

const numbers = (batches: ActivationBatch[]): number[] =>
  batches.flatMap((batch) => [...batch.tokenIds!].map((id) => id - 1000));

describe('streamRows', () => {
  it('hands rows out in order, and the last batch short', async () => {
    const batches = await collect(streamRows(numbered(20), { bufferBytes: 2 * 9 * rowBytes }), 6);
    expect(batches.map((batch) => batch.rows)).toEqual([6, 6, 6, 2]);
    expect(numbers(batches)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect([...batches[3]!.data]).toEqual([18, 18, 19, 19]);
  });

  it('every epoch is a permutation of all rows, and another one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer(),
        async (pieces, blockRows, poolRows, batchSize, seed) => {
          const length = pieces.reduce((a, b) => a + b);
          const stream = streamRows(numbered(length, { blockRows, pieces }), {
            shuffle: seed,
            epochs: 2,
            bufferBytes: 2 * poolRows * rowBytes,
          });
          const order = numbers(await collect(stream, batchSize));
          const all = Array.from({ length }, (_, i) => i);
          expect(order.slice(0, length).sort((a, b) => a - b)).toEqual(all);
          expect(order.slice(length).sort((a, b) => a - b)).toEqual(all);
          if (length > 20) expect(order.slice(0, length)).not.toEqual(order.slice(length));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('continues from any position bit for bit, through JSON', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(40),
        fc.integer({ min: 1, max: 17 }),
        fc.boolean(),
        async (stop, batchSize, shuffle) => {
          const open = (): StreamedRows =>
            streamRows(numbered(100), {
              shuffle: shuffle ? 5 : false,
              epochs: 3,
              bufferBytes: 2 * 30 * rowBytes,
            });
          const whole = await collect(open(), batchSize);
          const first = open();
          const before = await collect(first, batchSize, stop);
          const second = open();
          second.seek(JSON.parse(JSON.stringify(first.position())));
          const after = await collect(second, batchSize);
          expect([...before, ...after]).toEqual(whole);
          expect(JSON.stringify(first.position()).length).toBeLessThan(120);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('one seed gives one order, another seed another', async () => {
    const order = async (seed: number): Promise<number[]> =>
      numbers(
        await collect(streamRows(numbered(200), { shuffle: seed, bufferBytes: 2 * 50 * rowBytes }), 10),
      );
    expect(await order(1)).toEqual(await order(1));
    expect(await order(1)).not.toEqual(await order(2));
  });

  it('reads a data set that fits the buffer once, however many epochs', async () => {
    const rows = numbered(64);
    await collect(streamRows(rows, { shuffle: 1, epochs: 5 }), 16);
    expect(rows.reads).toBe(8); // 8 blocks
  });

  it('endless epochs go on; early leaving frees the stream for another iteration', async () => {
    const stream = streamRows(numbered(10), { shuffle: 3, epochs: Number.POSITIVE_INFINITY });
    expect(stream.length).toBe(undefined);
    const order = numbers([...(await collect(stream, 7, 5)), ...(await collect(stream, 7, 5))]);
    for (let epoch = 0; epoch < 7; epoch++) {
      expect(order.slice(epoch * 10, epoch * 10 + 10).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  it('mixes as well as it states', async () => {
    // blocks of 16 neighbours, pools of 512 of 8,192 rows
    const [length, blockRows, poolRows, batchSize] = [8192, 16, 512, 128];
    const stream = streamRows(numbered(length, { blockRows }), {
      shuffle: 11,
      epochs: 8,
      bufferBytes: 2 * poolRows * rowBytes,
    });
    expect(stream.mixing).toEqual({
      poolRows,
      blockRows,
      blocksPerPool: 32,
      sameBlock: 15 / 511,
      sameBlockIdeal: 15 / 8191,
    });
    let [pairs, same, neighbours] = [0, 0, 0];
    const order: number[] = [];
    for (const batch of await collect(stream, batchSize)) {
      const ids = numbers([batch]);
      order.push(...ids);
      for (let i = 0; i < ids.length; i++) {
        for (let j = i + 1; j < ids.length; j++) {
          pairs++;
          if (Math.floor(ids[i]! / blockRows) === Math.floor(ids[j]! / blockRows)) same++;
        }
        if (i > 0 && Math.abs(ids[i]! - ids[i - 1]!) === 1) neighbours++;
      }
    }
    // 512 batches of 8,128 pairs: the measured share is within 5 % of the stated one
    expect(Math.abs(same / pairs / stream.mixing.sameBlock - 1)).toBeLessThan(0.05);
    // rows one apart that come one after the other: 2 · 15/16 · P(same block) / 15 of the pairs in a row
    expect(neighbours / (512 * 127)).toBeLessThan(2 * 1.2 * (1 / 511));
    // no trend: the rank correlation of place and row number is that of a random order of 512 blocks
    const first = order.slice(0, length);
    const mean = (length - 1) / 2;
    const covariance = first.reduce((sum, row, place) => sum + (row - mean) * (place - mean), 0) / length;
    expect(Math.abs(covariance / ((length ** 2 - 1) / 12))).toBeLessThan(4 / Math.sqrt(512));
  });

  it('shuffles a data set that fits the buffer perfectly', async () => {
    const counts = new Float64Array(16); // where row 0 lands, over seeds
    for (let seed = 0; seed < 800; seed++) {
      const order = numbers(await collect(streamRows(numbered(16, { blockRows: 4 }), { shuffle: seed }), 16));
      counts[order.indexOf(0)]! += 1;
    }
    const chi2 = counts.reduce((sum, count) => sum + (count - 50) ** 2 / 50, 0);
    expect(chi2).toBeLessThan(37.7); // 15 degrees of freedom, p = .001
  });

  it('names row and column of a NaN, by the row of the data', async () => {
    const data = new Float32Array(3000).fill(1);
    data[3 * 777 + 2] = Number.NaN;
    const rows = arrayRows(data, { width: 3, name: 'acts' });
    const error = await errorOf(() => collect(streamRows(rows, { shuffle: 1 }), 10));
    expect(error.message).toBe('acts: row 777, column 2 is NaN; activations must be finite');
    expect(await collect(streamRows(rows, { nonFinite: 'pass' }), 500)).toHaveLength(2);
  });

  it('stops at an abort, and can be used again', async () => {
    const stop = new AbortController();
    const stream = streamRows(numbered(100), { shuffle: 1 });
    const error = await errorOf(async () => {
      for await (const _ of stream.batches({ batchSize: 10, signal: stop.signal })) stop.abort();
    });
    expect(error.name).toBe('AbortError');
    expect(numbers(await collect(stream, 10))).toHaveLength(90);
  });

  it('an error while prefetching arrives when its rows are due', async () => {
    const rows = numbered(100);
    const read = rows.readInto;
    rows.readInto = (target, at, begin, end) => {
      if (begin >= 48) throw msaeError('file', 'numbered: the disk is on fire');
      return read(target, at, begin, end);
    };
    const got: number[] = [];
    const error = await errorOf(async () => {
      const stream = streamRows(rows, { bufferBytes: 2 * 16 * rowBytes });
      for await (const batch of stream.batches({ batchSize: 8 })) got.push(...numbers([batch]));
    });
    expect(error.message).toBe('numbered: the disk is on fire');
    expect(got).toEqual(Array.from({ length: 48 }, (_, i) => i));
  });

  it('refuses what cannot be', async () => {
    const rows = numbered(10);
    expect((await errorOf(() => streamRows(rows, { epochs: 0 }))).message).toMatch(/^streamRows: epochs: /);
    expect((await errorOf(() => streamRows(rows, { bufferBytes: 8 }))).message).toMatch(
      /^bufferBytes: 8 do not hold/,
    );
    expect((await errorOf(() => streamRows(rows, { epoch: 2 } as never))).message).toMatch(
      /there is no option epoch \(did you mean epochs\?\)/,
    );
    expect((await errorOf(() => streamRows(numbered(0)))).message).toMatch(/no rows to stream/);
    expect((await errorOf(() => collect(streamRows(rows), 0))).message).toMatch(/^batches: batchSize: /);
    expect((await errorOf(() => streamRows({ ...rows, length: 2 ** 40, blockRows: 1 }))).message).toMatch(
      /1099511627776 blocks; at most/,
    );
    const stream = streamRows(rows);
    const iterator = stream.batches({ batchSize: 1 })[Symbol.asyncIterator]();
    await iterator.next();
    expect((await errorOf(() => collect(stream, 1))).message).toMatch(/one iteration at a time/);
    const other = streamRows(rows, { shuffle: 1 }).position();
    expect((await errorOf(() => stream.seek(other))).message).toMatch(
      /belongs to another stream \(10 rows of width 2, seed 1/,
    );
    expect((await errorOf(() => stream.seek({ ...stream.position(), row: 11 }))).message).toMatch(
      /do not fit 10 rows/,
    );
    expect((await errorOf(() => stream.seek({ kind: 'toy-tree' }))).message).toMatch(/kind toy-tree/);
  });
});

describe('arrayRows', () => {
  it('takes flat data and rows', async () => {
    const [batch] = await collect(
      streamRows(
        arrayRows(
          [
            [1, 2],
            [3, 4],
          ],
          { docIds: Int32Array.of(7, 8) },
        ),
      ),
      2,
    );
    expect(batch).toEqual({
      data: Float32Array.of(1, 2, 3, 4),
      rows: 2,
      width: 2,
      docIds: Int32Array.of(7, 8),
    });
  });

  it('says what does not fit', async () => {
    expect((await errorOf(() => arrayRows(new Float32Array(4)))).message).toMatch(/pass width/);
    expect((await errorOf(() => arrayRows(new Float32Array(5), { width: 2 }))).message).toMatch(
      /5 values do not make rows of width 2/,
    );
    expect((await errorOf(() => arrayRows([[1, 2], [3]]))).message).toMatch(
      /row 1 has 1 values, row 0 has 2/,
    );
    expect((await errorOf(() => arrayRows([[1]], { tokenIds: Int32Array.of(1, 2) }))).message).toMatch(
      /tokenIds has 2 values for 1 rows/,
    );
  });
});
