/** Products with [x 1], the samples with a column of ones for the intercept. */

/** out [n] = x [n, d] · w [d] + w[d]. */
export function multiply(data: Float64Array, n: number, d: number, w: Float64Array, out: Float64Array): void {
  for (let s = 0, at = 0; s < n; s++) {
    let sum = w[d]!;
    for (let k = 0; k < d; k++) sum += data[at++]! * w[k]!;
    out[s] = sum;
  }
}

/** out [d + 1] += [x 1]ᵀ [d + 1, n] · v [n]. */
export function multiplyTransposed(
  data: Float64Array,
  n: number,
  d: number,
  v: Float64Array,
  out: Float64Array,
): void {
  for (let s = 0, at = 0; s < n; s++) {
    const weight = v[s]!;
    for (let k = 0; k < d; k++) out[k]! += weight * data[at++]!;
    out[d]! += weight;
  }
}
