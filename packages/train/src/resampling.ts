/**
 * Resampling (Bricken et al. 2023, "Towards monosemanticity"): a dead latent is given a new life at a row of a batch that
 * the SAE explains badly. Rows are drawn with probability ∝ ‖x − x̂‖⁴ (the squared loss); the decoder row becomes the unit
 * residual (or input) times `decoderNorm`, the encoder column the same direction at a fraction of the mean living norm.
 * Adam's moments of the rewritten entries start again from 0.
 */
import type { Rng } from '@msae/sampler';

export interface ResamplingOptions {
  /** Steps between two resamplings. */
  readonly every: number;
  /** Part of the run in which it happens, as fractions of the steps. Default 0 … .5. */
  readonly from?: number;
  readonly until?: number;
  /** Direction of the new latent: what is left of the row, or the row. Default `residual`. */
  readonly direction?: 'residual' | 'input';
  /** Norm of the new encoder column as a fraction of the living ones' mean. Default .2. */
  readonly encoderScale?: number;
  /** Norm of the new decoder row; absent: the living rows' mean. */
  readonly decoderNorm?: number;
}

/** Weights on the host, row-major, to be rewritten in place. */
export interface HostWeights {
  /** [d, N] */
  readonly W_enc: Float32Array;
  /** [N] */
  readonly b_enc: Float32Array;
  /** [N, d] */
  readonly W_dec: Float32Array;
}

/** Is `step` (steps done) one at which latents are resampled? */
export function isResamplingStep(options: ResamplingOptions, step: number, totalSteps: number): boolean {
  const { every, from = 0, until = 0.5 } = options;
  return step > 0 && step % every === 0 && step >= from * totalSteps && step <= until * totalSteps;
}

/** One clear error for options that cannot work. */
export function checkResampling(options: ResamplingOptions): void {
  if (!(Number.isInteger(options.every) && options.every >= 1)) {
    throw new RangeError(`resampling.every must be a whole number of steps ≥ 1, got ${options.every}`);
  }
  const { from = 0, until = 0.5 } = options;
  if (!(from >= 0 && until <= 1 && from <= until)) {
    throw new RangeError(`resampling: 0 ≤ from ≤ until ≤ 1 is needed, got from ${from}, until ${until}`);
  }
}

/**
 * Rewrites the dead latents of `weights` in place.
 *
 * @param x [rows, d] what the encoder sees
 * @param residual [rows, d] x − x̂ of the full prefix
 */
export function resampleLatents(
  weights: HostWeights,
  rows: { readonly x: Float32Array; readonly residual: Float32Array; readonly width: number },
  dead: Int32Array,
  options: ResamplingOptions,
  rng: Rng,
): void {
  const { x, residual, width: d } = rows;
  const nLatents = weights.b_enc.length;
  const isDead = new Uint8Array(nLatents);
  for (const latent of dead) isDead[latent] = 1;
  const cumulative = squaredLosses(residual, d);
  const total = cumulative[cumulative.length - 1] as number;
  if (!(total > 0)) return;
  const { encoderNorm, decoderNorm } = livingNorms(weights, isDead, d);
  const newDecoderNorm = options.decoderNorm ?? decoderNorm;
  const newEncoderNorm = (options.encoderScale ?? 0.2) * encoderNorm;
  const source = (options.direction ?? 'residual') === 'residual' ? residual : x;
  for (const latent of dead) {
    const row = upperBound(cumulative, rng.next() * total);
    let squares = 0;
    for (let j = 0; j < d; j++) squares += (source[row * d + j] as number) ** 2;
    const norm = Math.sqrt(squares) || 1;
    for (let j = 0; j < d; j++) {
      const unit = (source[row * d + j] as number) / norm;
      weights.W_dec[latent * d + j] = unit * newDecoderNorm;
      weights.W_enc[j * nLatents + latent] = unit * newEncoderNorm;
    }
    weights.b_enc[latent] = 0;
  }
}

function squaredLosses(residual: Float32Array, d: number): Float64Array {
  const rows = residual.length / d;
  const cumulative = new Float64Array(rows);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let squares = 0;
    for (let j = 0; j < d; j++) squares += (residual[row * d + j] as number) ** 2;
    sum += squares * squares;
    cumulative[row] = sum;
  }
  return cumulative;
}

/** The first index whose cumulative value exceeds `target`. */
function upperBound(cumulative: Float64Array, target: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cumulative[middle] as number) > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

function livingNorms(
  { W_enc, W_dec, b_enc }: HostWeights,
  isDead: Uint8Array,
  d: number,
): { encoderNorm: number; decoderNorm: number } {
  const nLatents = b_enc.length;
  let encoderNorm = 0;
  let decoderNorm = 0;
  let living = 0;
  for (let i = 0; i < nLatents; i++) {
    if (isDead[i]) continue;
    let encoder = 0;
    let decoder = 0;
    for (let j = 0; j < d; j++) {
      encoder += (W_enc[j * nLatents + i] as number) ** 2;
      decoder += (W_dec[i * d + j] as number) ** 2;
    }
    encoderNorm += Math.sqrt(encoder);
    decoderNorm += Math.sqrt(decoder);
    living++;
  }
  if (living === 0) return { encoderNorm: 1, decoderNorm: 1 };
  return { encoderNorm: encoderNorm / living, decoderNorm: decoderNorm / living };
}
