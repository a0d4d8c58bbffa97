/**
 * The linear assignment problem: shortest augmenting paths (Jonker & Volgenant 1987, in the form of Crouse 2016 that SciPy's
 * `linear_sum_assignment` uses), O(n² m) for n rows and m ≥ n columns.
 */
import { msaeError } from '@msae/schema';
import { checkMatrix, type Matrix } from './matrix.ts';

/** One row matched with one column. */
export interface Assignment {
  /** For every row its column, or -1 (only where there are more rows than columns). */
  readonly columnOfRow: Int32Array;
  /** For every column its row, or -1 (only where there are more columns than rows). */
  readonly rowOfColumn: Int32Array;
}

/**
 * The one-to-one assignment of min(rows, columns) pairs with the greatest total `score`. Throws an MsaeError for a score that is
 * not finite.
 */
export function assignMaximum(score: Matrix): Assignment {
  checkMatrix('assignMaximum: score', score);
  const { rows, columns, data } = score;
  for (let at = 0; at < data.length; at++) {
    if (!Number.isFinite(data[at]!)) {
      throw msaeError(
        'value',
        `assignMaximum: score (${Math.floor(at / columns)}, ${at % columns}) is ${data[at]}; every score must be finite`,
      );
    }
  }
  if (rows <= columns) return solve(rows, columns, (i, j) => -data[i * columns + j]!);
  const turned = solve(columns, rows, (i, j) => -data[j * columns + i]!);
  return { columnOfRow: turned.rowOfColumn, rowOfColumn: turned.columnOfRow };
}

/** Minimum-cost assignment for n ≤ m. `u` and `v` are the dual prices of rows and columns. */
function solve(n: number, m: number, cost: (row: number, column: number) => number): Assignment {
  const columnOfRow = new Int32Array(n).fill(-1);
  const rowOfColumn = new Int32Array(m).fill(-1);
  const u = new Float64Array(n);
  const v = new Float64Array(m);
  const distance = new Float64Array(m);
  const cameFrom = new Int32Array(m);
  const open = new Int32Array(m); // columns not yet on the tree
  const rowsSeen = new Uint8Array(n);
  const columnsSeen = new Uint8Array(m);
  for (let start = 0; start < n; start++) {
    distance.fill(Infinity);
    rowsSeen.fill(0);
    columnsSeen.fill(0);
    let nOpen = m;
    for (let j = 0; j < m; j++) open[j] = m - 1 - j;
    let row = start;
    let shortest = 0;
    let end = -1;
    while (end < 0) {
      rowsSeen[row] = 1;
      let best = -1;
      let lowest = Infinity;
      for (let at = 0; at < nOpen; at++) {
        const j = open[at]!;
        const reach = shortest + cost(row, j) - u[row]! - v[j]!;
        if (reach < distance[j]!) {
          distance[j] = reach;
          cameFrom[j] = row;
        }
        // Among equals prefer a free column: the path ends there.
        if (distance[j]! < lowest || (distance[j] === lowest && rowOfColumn[j] === -1)) {
          lowest = distance[j]!;
          best = at;
        }
      }
      shortest = lowest;
      const j = open[best]!;
      columnsSeen[j] = 1;
      open[best] = open[--nOpen]!;
      if (rowOfColumn[j] === -1) end = j;
      else row = rowOfColumn[j]!;
    }
    u[start]! += shortest;
    for (let i = 0; i < n; i++) {
      if (rowsSeen[i] && i !== start) u[i]! += shortest - distance[columnOfRow[i]!]!;
    }
    for (let j = 0; j < m; j++) if (columnsSeen[j]) v[j]! -= shortest - distance[j]!;
    for (let j = end; ; ) {
      const i = cameFrom[j]!;
      rowOfColumn[j] = i;
      const next = columnOfRow[i]!;
      columnOfRow[i] = j;
      if (i === start) break;
      j = next;
    }
  }
  return { columnOfRow, rowOfColumn };
}
