import { check, givenBy, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import { type ActivationRows, type RowTarget, type TokenColumn, tokenColumns } from './rows.ts';

export interface ArrayRowsOptions {
  /** Columns; needed for flat data. */
  width?: number;
  tokenIds?: Int32Array;
  positions?: Int32Array;
  docIds?: Int32Array;
  /** What error messages call it. */
  name?: string;
}

const column = (help: string): Schema<Int32Array> =>
  optional(givenBy<Int32Array>('an Int32Array', (value) => value instanceof Int32Array, { help }));

const schema: Schema<ArrayRowsOptions> = object<ArrayRowsOptions>({
  width: optional(whole({ min: 1, help: 'columns' })),
  tokenIds: column('a token id a row'),
  positions: column('a position a row'),
  docIds: column('a document id a row'),
  name: optional(text({ help: 'what messages call it' }), 'array'),
});

/**
 * Activations in memory.
 *
 * @param data flat row-major [rows, width] (not copied), or an array of rows
 * @throws MsaeError `option`; `shape` where the lengths do not fit together
 */
export function arrayRows(
  data: Float32Array | readonly (readonly number[] | Float32Array)[],
  given: ArrayRowsOptions = {},
): ActivationRows {
  const options = check(schema, given, given.name ?? 'arrayRows');
  const name = options.name ?? 'array';
  const width = options.width ?? (data instanceof Float32Array ? undefined : data[0]?.length);
  if (width === undefined || width < 1) {
    throw msaeError(
      'option',
      `${name}: width is ${width ?? 'not known'}; pass width, the number of columns (>= 1), with flat data`,
    );
  }
  const flat = data instanceof Float32Array ? data : flatten(data, width, name);
  if (flat.length % width !== 0) {
    throw msaeError('shape', `${name}: ${flat.length} values do not make rows of width ${width}`);
  }
  const length = flat.length / width;
  const columns = tokenColumns.filter((column) => options[column] !== undefined);
  for (const column of columns) checkColumn(column, options[column]!.length, length, name);
  return {
    name,
    width,
    length,
    columns,
    blockRows: Math.ceil(length / 4096) || 1, // memory has no cheap neighbours: blocks as small as is practical
    async readInto(target: RowTarget, at, begin, end) {
      target.data.set(flat.subarray(begin * width, end * width), at * width);
      for (const column of columns) target[column]?.set(options[column]!.subarray(begin, end), at);
    },
  };
}

function checkColumn(column: TokenColumn, got: number, expected: number, name: string): void {
  if (got !== expected) throw msaeError('shape', `${name}: ${column} has ${got} values for ${expected} rows`);
}

function flatten(
  rows: readonly (readonly number[] | Float32Array)[],
  width: number,
  name: string,
): Float32Array {
  const flat = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    if (row.length !== width)
      throw msaeError('shape', `${name}: row ${i} has ${row.length} values, row 0 has ${width}`);
    flat.set(row, i * width);
  });
  return flat;
}
