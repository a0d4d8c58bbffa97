import type { ActivationBatch, ActivationRows } from '../src/index.ts';
import { readRows } from '../src/index.ts';

/** Activation of row `row`, column `column`: exact in float16, bfloat16 and float32. */
const valueAt = (row: number, column: number): number => (((row * 31 + column * 7) % 255) - 127) / 64;

/** Rows [begin, end) of the test data, with all three columns. */
export function makeBatch(begin: number, end: number, width: number): ActivationBatch {
  const rows = end - begin;
  const data = new Float32Array(rows * width);
  for (let i = 0; i < data.length; i++) data[i] = valueAt(begin + Math.floor(i / width), i % width);
  const column = (value: (row: number) => number): Int32Array =>
    Int32Array.from({ length: rows }, (_, i) => value(begin + i));
  return {
    data,
    rows,
    width,
    tokenIds: column((row) => row),
    positions: column((row) => row % 64),
    docIds: column((row) => Math.floor(row / 64)),
  };
}

/** Number of the first row that is not what `makeBatch` made it, or -1. */
export async function firstWrongRow(store: ActivationRows): Promise<number> {
  const step = 1000;
  for (let begin = 0; begin < store.length; begin += step) {
    const end = Math.min(store.length, begin + step);
    const got = await readRows(store, begin, end);
    const expected = makeBatch(begin, end, store.width);
    for (let row = 0; row < end - begin; row++) {
      const same =
        store.columns.every((column) => got[column]![row] === expected[column]![row]) &&
        got.data
          .subarray(row * store.width, (row + 1) * store.width)
          .every((value, column) => value === expected.data[row * store.width + column]);
      if (!same) return begin + row;
    }
  }
  return -1;
}
