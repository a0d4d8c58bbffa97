/**
 * Binary logistic regression with scikit-learn's objective, ½ wᵀw + C Σ log(1 + exp(−y (wᵀx + b))), intercept not penalised,
 * minimised by Newton's method with a line search. The features are centred first, which changes only b and makes the problem far
 * better conditioned. The Newton step comes from a Cholesky factorisation up to a few hundred features, above that from conjugate
 * gradients (as LIBLINEAR's: Lin, Weng & Keerthi 2008).
 */
import { msaeError } from '@msae/schema';
import { multiply, multiplyTransposed } from './affineProduct.ts';
import { conjugateGradientStep } from './conjugateGradient.ts';
import { checkMatrix, type Matrix } from './matrix.ts';
import { choleskyStep } from './newtonStep.ts';

/** Up to here the Hessian is factorised. */
const CHOLESKY_FEATURES = 400;

export interface LogisticOptions {
  /** Inverse regularisation, scikit-learn's C. Default 1. */
  readonly c?: number;
  /** Stop when the largest gradient entry is below tolerance · C · samples. Default 1e-9. */
  readonly tolerance?: number;
  readonly maxIterations?: number;
}

export interface LogisticModel {
  readonly weights: Float64Array;
  readonly intercept: number;
  readonly iterations: number;
}

/** Fits labels (truthy = positive) from samples x [S, D]. Throws an MsaeError unless both classes occur. */
export function fitLogistic(
  x: Matrix,
  labels: ArrayLike<number | boolean>,
  options: LogisticOptions = {},
): LogisticModel {
  const { c = 1, tolerance = 1e-9, maxIterations = 200 } = options;
  checkMatrix('fitLogistic: x', x);
  const { rows: n, columns: d } = x;
  if (labels.length !== n) throw msaeError('shape', `fitLogistic: ${labels.length} labels for ${n} samples`);
  const target = Float64Array.from({ length: n }, (_, s) => (labels[s] ? 1 : 0));
  const positives = target.reduce((sum, t) => sum + t, 0);
  if (positives === 0 || positives === n) {
    throw msaeError(
      'value',
      `fitLogistic: ${positives} of ${n} samples are positive; both classes are needed`,
    );
  }
  const { data, mean } = centred(x);
  const w = new Float64Array(d + 1); // the intercept comes last
  w[d] = Math.log(positives / (n - positives));
  const score = new Float64Array(n);
  const gradient = new Float64Array(d + 1);
  const curvature = new Float64Array(n);
  const step = new Float64Array(d + 1);
  multiply(data, n, d, w, score);
  let loss = objective(w, score, target, c);
  let iterations = 0;
  for (; iterations < maxIterations; iterations++) {
    gradient.set(w);
    gradient[d] = 0;
    const residual = new Float64Array(n);
    for (let s = 0; s < n; s++) {
      const p = 1 / (1 + Math.exp(-score[s]!));
      residual[s] = c * (p - target[s]!);
      curvature[s] = c * p * (1 - p);
    }
    multiplyTransposed(data, n, d, residual, gradient);
    if (gradient.reduce((max, g) => Math.max(max, Math.abs(g)), 0) <= tolerance * c * n) break;
    (d <= CHOLESKY_FEATURES ? choleskyStep : conjugateGradientStep)(data, n, d, curvature, gradient, step);
    const along = new Float64Array(n);
    multiply(data, n, d, step, along);
    const slope = gradient.reduce((sum, g, k) => sum + g * step[k]!, 0);
    let rate = 1;
    let next = loss;
    const trial = new Float64Array(d + 1);
    const trialScore = new Float64Array(n);
    for (; rate > 1e-12; rate /= 2) {
      for (let k = 0; k <= d; k++) trial[k] = w[k]! + rate * step[k]!;
      for (let s = 0; s < n; s++) trialScore[s] = score[s]! + rate * along[s]!;
      next = objective(trial, trialScore, target, c);
      if (next <= loss + 1e-4 * rate * slope) break;
    }
    if (rate <= 1e-12) break; // no descent left at this precision
    w.set(trial);
    score.set(trialScore);
    loss = next;
  }
  const weights = w.slice(0, d);
  return { weights, intercept: weights.reduce((b, weight, k) => b - weight * mean[k]!, w[d]!), iterations };
}

/** wᵀx + b of every row: positive means the positive class. */
export function logisticScores(model: LogisticModel, x: Matrix): Float64Array {
  checkMatrix('logisticScores: x', x, model.weights.length);
  const scores = new Float64Array(x.rows).fill(model.intercept);
  for (let s = 0; s < x.rows; s++) {
    for (let k = 0; k < x.columns; k++) scores[s]! += x.data[s * x.columns + k]! * model.weights[k]!;
  }
  return scores;
}

function objective(w: Float64Array, score: Float64Array, target: Float64Array, c: number): number {
  let loss = 0;
  for (let s = 0; s < score.length; s++) {
    const z = target[s] === 1 ? -score[s]! : score[s]!;
    loss += z > 0 ? z + Math.log1p(Math.exp(-z)) : Math.log1p(Math.exp(z));
  }
  let norm = 0;
  for (let k = 0; k < w.length - 1; k++) norm += w[k]! * w[k]!;
  return norm / 2 + c * loss;
}

/** The samples less their mean, in float64. */
function centred({ data, rows: n, columns: d }: Matrix): { data: Float64Array; mean: Float64Array } {
  const mean = new Float64Array(d);
  for (let s = 0, at = 0; s < n; s++) for (let k = 0; k < d; k++) mean[k]! += data[at++]! / n;
  const out = new Float64Array(n * d);
  for (let s = 0, at = 0; s < n; s++) for (let k = 0; k < d; k++, at++) out[at] = data[at]! - mean[k]!;
  return { data: out, mean };
}
