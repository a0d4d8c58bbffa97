import { multiply, multiplyTransposed } from './affineProduct.ts';

/** step ≈ −H⁻¹ gradient with H = diag(1, …, 1, 0) + [x 1]ᵀ diag(curvature) [x 1], Jacobi-preconditioned. */
export function conjugateGradientStep(
  data: Float64Array,
  n: number,
  d: number,
  curvature: Float64Array,
  gradient: Float64Array,
  step: Float64Array,
): void {
  const diagonal = new Float64Array(d + 1).fill(1);
  diagonal[d] = 1e-12;
  for (let s = 0, at = 0; s < n; s++) {
    for (let k = 0; k < d; k++, at++) diagonal[k]! += curvature[s]! * data[at]! * data[at]!;
    diagonal[d]! += curvature[s]!;
  }
  step.fill(0);
  const residual = gradient.map((g) => -g);
  const z = residual.map((r, k) => r / diagonal[k]!);
  const direction = z.slice();
  const inRows = new Float64Array(n);
  const image = new Float64Array(d + 1);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, k) => sum + value * b[k]!, 0);
  let rz = dot(residual, z);
  const goal = 1e-8 * dot(residual, residual); // ‖r‖ down by 1e-4
  for (let i = 0; i < 4 * (d + 1) && dot(residual, residual) > goal; i++) {
    multiply(data, n, d, direction, inRows);
    for (let s = 0; s < n; s++) inRows[s]! *= curvature[s]!;
    image.set(direction);
    image[d] = 0;
    multiplyTransposed(data, n, d, inRows, image);
    const bend = dot(direction, image);
    if (!(bend > 0)) break;
    const rate = rz / bend;
    for (let k = 0; k <= d; k++) {
      step[k]! += rate * direction[k]!;
      residual[k]! -= rate * image[k]!;
      z[k] = residual[k]! / diagonal[k]!;
    }
    const nextRz = dot(residual, z);
    for (let k = 0; k <= d; k++) direction[k] = z[k]! + (nextRz / rz) * direction[k]!;
    rz = nextRz;
  }
}
