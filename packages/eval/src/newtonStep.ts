/**
 * step = −H⁻¹ gradient with H = diag(1, …, 1, 0) + [x 1]ᵀ diag(curvature) [x 1], by a Cholesky factorisation: n d² / 2 + d³ / 6
 * multiplications.
 */
export function choleskyStep(
  data: Float64Array,
  n: number,
  d: number,
  curvature: Float64Array,
  gradient: Float64Array,
  step: Float64Array,
): void {
  const size = d + 1;
  const h = new Float64Array(size * size); // lower triangle
  for (let i = 0; i < d; i++) h[i * size + i] = 1;
  h[size * size - 1] = 1e-12;
  // Four samples at a time: each entry of H is loaded and stored once for four products.
  for (let s = 0; s < n; s += 4) {
    const rows = Math.min(4, n - s);
    const [p, q, r, t] = [
      s * d,
      (s + Math.min(1, rows - 1)) * d,
      (s + Math.min(2, rows - 1)) * d,
      (s + rows - 1) * d,
    ];
    const cp = curvature[s]!;
    const cq = rows > 1 ? curvature[s + 1]! : 0;
    const cr = rows > 2 ? curvature[s + 2]! : 0;
    const ct = rows > 3 ? curvature[s + 3]! : 0;
    for (let i = 0; i < d; i++) {
      const a = cp * data[p + i]!;
      const b = cq * data[q + i]!;
      const c = cr * data[r + i]!;
      const e = ct * data[t + i]!;
      for (let j = 0, at = i * size; j <= i; j++) {
        h[at + j]! += a * data[p + j]! + b * data[q + j]! + c * data[r + j]! + e * data[t + j]!;
      }
      h[d * size + i]! += a + b + c + e;
    }
    h[d * size + d]! += cp + cq + cr + ct;
  }
  // H = L Lᵀ in place, then L y = −gradient and Lᵀ step = y.
  for (let j = 0; j < size; j++) {
    for (let i = j; i < size; i++) {
      let sum = h[i * size + j]!;
      for (let k = 0; k < j; k++) sum -= h[i * size + k]! * h[j * size + k]!;
      h[i * size + j] = i === j ? Math.sqrt(Math.max(sum, 1e-300)) : sum / h[j * size + j]!;
    }
  }
  for (let i = 0; i < size; i++) {
    let sum = -gradient[i]!;
    for (let k = 0; k < i; k++) sum -= h[i * size + k]! * step[k]!;
    step[i] = sum / h[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    let sum = step[i]!;
    for (let k = i + 1; k < size; k++) sum -= h[k * size + i]! * step[k]!;
    step[i] = sum / h[i * size + i]!;
  }
}
