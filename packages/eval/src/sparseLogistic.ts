/**
 * L1-regularised logistic regression on few features of many samples: Σ log(1 + exp(−y (wᵀx + b))) / S + λ ‖w‖₁, intercept not
 * penalised, by FISTA with restarts (Beck & Teboulle 2009; O'Donoghue & Candès 2015). It ranks latents for k-sparse probes.
 */
import { msaeError } from '@msae/schema';
import { checkMatrix, type Matrix } from './matrix.ts';

export interface SparseLogisticOptions {
  /** λ; the larger, the fewer features. scikit-learn's C is 1 / (λ S). Default 0.01 (SAEBench). */
  readonly l1?: number;
  /** Stop when no weight moves by more than this fraction of the largest. Default 1e-5. */
  readonly tolerance?: number;
  readonly maxIterations?: number;
}

/** Weights [D] of the features in x [S, D]; most are exactly 0. Throws an MsaeError for another number of labels than samples. */
export function fitSparseLogistic(
  x: Matrix,
  labels: ArrayLike<number | boolean>,
  options: SparseLogisticOptions = {},
): { weights: Float64Array; intercept: number } {
  const { l1 = 0.01, tolerance = 1e-5, maxIterations = 2000 } = options;
  checkMatrix('fitSparseLogistic: x', x);
  const { rows: n, columns: d } = x;
  if (labels.length !== n)
    throw msaeError('shape', `fitSparseLogistic: ${labels.length} labels for ${n} samples`);
  const rows = compress(x);
  const rate = 1 / (0.25 * largestEigenvalue(rows, n, d) + 1e-12);
  let w = new Float64Array(d + 1); // the intercept comes last
  let ahead = w.slice();
  let momentum = 1;
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const gradient = new Float64Array(d + 1);
    for (let s = 0; s < n; s++) {
      let z = ahead[d]!;
      for (let at = rows.offsets[s]!; at < rows.offsets[s + 1]!; at++)
        z += rows.values[at]! * ahead[rows.columns[at]!]!;
      const residual = (1 / (1 + Math.exp(-z)) - (labels[s] ? 1 : 0)) / n;
      for (let at = rows.offsets[s]!; at < rows.offsets[s + 1]!; at++) {
        gradient[rows.columns[at]!]! += residual * rows.values[at]!;
      }
      gradient[d]! += residual;
    }
    const next = new Float64Array(d + 1);
    for (let k = 0; k <= d; k++) {
      const moved = ahead[k]! - rate * gradient[k]!;
      next[k] = k === d ? moved : Math.sign(moved) * Math.max(0, Math.abs(moved) - rate * l1);
    }
    let [change, largest, uphill] = [0, 0, 0];
    for (let k = 0; k <= d; k++) {
      change = Math.max(change, Math.abs(next[k]! - w[k]!));
      largest = Math.max(largest, Math.abs(next[k]!));
      uphill += (ahead[k]! - next[k]!) * (next[k]! - w[k]!);
    }
    const nextMomentum = uphill > 0 ? 1 : (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const carry = uphill > 0 ? 0 : (momentum - 1) / nextMomentum;
    ahead = next.map((value, k) => value + carry * (value - w[k]!));
    w = next;
    momentum = nextMomentum;
    if (change <= tolerance * largest) break;
  }
  return { weights: w.slice(0, d), intercept: w[d]! };
}

interface CompressedRows {
  readonly offsets: Int32Array;
  readonly columns: Int32Array;
  readonly values: Float64Array;
}

function compress(x: Matrix): CompressedRows {
  const offsets = new Int32Array(x.rows + 1);
  const columns: number[] = [];
  const values: number[] = [];
  for (let s = 0; s < x.rows; s++) {
    for (let k = 0; k < x.columns; k++) {
      const value = x.data[s * x.columns + k]!;
      if (value === 0) continue;
      columns.push(k);
      values.push(value);
    }
    offsets[s + 1] = columns.length;
  }
  return { offsets, columns: Int32Array.from(columns), values: Float64Array.from(values) };
}

/** Of [x 1]ᵀ[x 1] / n by power iteration, rounded up by a twentieth. */
function largestEigenvalue(rows: CompressedRows, n: number, d: number): number {
  let v = new Float64Array(d + 1).fill(1 / Math.sqrt(d + 1));
  let value = 1;
  for (let i = 0; i < 50; i++) {
    const image = new Float64Array(d + 1);
    for (let s = 0; s < n; s++) {
      let z = v[d]!;
      for (let at = rows.offsets[s]!; at < rows.offsets[s + 1]!; at++)
        z += rows.values[at]! * v[rows.columns[at]!]!;
      for (let at = rows.offsets[s]!; at < rows.offsets[s + 1]!; at++)
        image[rows.columns[at]!]! += z * rows.values[at]!;
      image[d]! += z;
    }
    const norm = Math.hypot(...image);
    value = norm / n;
    v = image.map((x) => x / norm);
  }
  return 1.05 * value;
}
