/** Row-major matrices of plain numbers: what every metric here takes, so that no metric needs tfjs. */
import { msaeError } from '@msae/schema';

/** Any flat array of numbers. */
export type Numbers = ArrayLike<number>;

/** A row-major matrix: element (i, j) is `data[i * columns + j]`. */
export interface Matrix {
  readonly data: Numbers;
  readonly rows: number;
  readonly columns: number;
}

/** A matrix over existing data; rows default to `data.length / columns`. Throws an MsaeError when the sizes disagree. */
export function matrix(data: Numbers, columns: number, rows: number = data.length / columns): Matrix {
  const result: Matrix = { data, rows, columns };
  checkMatrix('matrix', result);
  return result;
}

/** Throws an MsaeError that names `name` unless `m` is consistent and, where given, has `columns` and `rows`. */
export function checkMatrix(name: string, m: Matrix, columns?: number, rows?: number): void {
  const whole = Number.isInteger(m.rows) && Number.isInteger(m.columns) && m.rows >= 0 && m.columns > 0;
  if (!whole || m.data.length !== m.rows * m.columns) {
    throw msaeError(
      'shape',
      `${name}: ${m.data.length} numbers do not make ${m.rows} rows of ${m.columns}; expected data.length = rows × columns`,
    );
  }
  if (columns !== undefined && m.columns !== columns) {
    throw msaeError('shape', `${name}: rows are ${m.columns} wide, expected ${columns}`);
  }
  if (rows !== undefined && m.rows !== rows) {
    throw msaeError('shape', `${name}: has ${m.rows} rows, expected ${rows}`);
  }
}

/** Euclidean norm of every row, in float64. */
export function rowNorms(m: Matrix): Float64Array {
  const norms = new Float64Array(m.rows);
  for (let i = 0; i < m.rows; i++) {
    let sum = 0;
    for (let at = i * m.columns, end = at + m.columns; at < end; at++) sum += m.data[at]! * m.data[at]!;
    norms[i] = Math.sqrt(sum);
  }
  return norms;
}

/**
 * Cosines between every row of `a` [n, d] and every row of `b` [m, d]: a Float64Array [n, m].
 * A row of zeros has cosine 0 with everything. Throws when the widths differ or a number is not finite.
 */
export function cosineMatrix(a: Matrix, b: Matrix): Float64Array {
  checkMatrix('cosineMatrix: a', a);
  checkMatrix('cosineMatrix: b', b, a.columns);
  const [unitA, unitB] = [unitRows(a), unitRows(b)];
  const width = a.columns;
  const cosines = new Float64Array(a.rows * b.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) {
      let dot = 0;
      for (let k = 0, p = i * width, q = j * width; k < width; k++) dot += unitA[p + k]! * unitB[q + k]!;
      cosines[i * b.rows + j] = dot;
    }
  }
  return cosines;
}

/** The rows scaled to length 1 (zero rows stay zero), in float64. */
export function unitRows(m: Matrix): Float64Array {
  const norms = rowNorms(m);
  const unit = new Float64Array(m.data.length);
  for (let i = 0; i < m.rows; i++) {
    if (!Number.isFinite(norms[i]!)) throw msaeError('value', `row ${i} holds a number that is not finite`);
    const scale = norms[i]! > 0 ? 1 / norms[i]! : 0;
    for (let at = i * m.columns, end = at + m.columns; at < end; at++) unit[at] = m.data[at]! * scale;
  }
  return unit;
}
