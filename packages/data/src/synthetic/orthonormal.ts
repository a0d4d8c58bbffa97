import type { Rng } from '@msae/sampler';

/**
 * `rows` orthonormal rows in `columns` dimensions, uniformly distributed: Gram-Schmidt, twice, of normal deviates, in
 * float64. Needs rows <= columns.
 */
export function randomOrthonormal(rows: number, columns: number, rng: Rng): Float64Array {
  const q = Float64Array.from({ length: rows * columns }, () => rng.normal());
  const row = (i: number): Float64Array => q.subarray(i * columns, (i + 1) * columns);
  for (let i = 0; i < rows; i++) {
    const current = row(i);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = row(j);
        const overlap = dot(current, other);
        for (let k = 0; k < columns; k++) current[k]! -= overlap * other[k]!;
      }
    }
    const norm = Math.sqrt(dot(current, current));
    for (let k = 0; k < columns; k++) current[k]! /= norm;
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}
