/**
 * Resampling (Bricken et al. 2023, "Towards monosemanticity"): a dead latent is given a new life at a row of a batch that
 * the SAE explains badly. Rows are drawn with probability ∝ ‖x − x̂‖⁴ (the squared loss), or the worst explained ones are
 * taken; the decoder row becomes the unit residual (or input) times `decoderNorm`, the encoder column the same direction at
 * a fraction of the mean living norm. Adam's moments of the rewritten entries start again from 0. With `weak`, latents that
 * fire and yet are worth next to nothing (see `latentWorth.ts`) are treated as dead ones.
 */
import type { Rng } from '@msae/sampler';
import { choice, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import type { PartDefinition } from './definition.ts';
import { createWorthTracker, latentWorth } from './latentWorth.ts';
import { copyOf, write } from './rewriteLatents.ts';

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
  /**
   * `sampled` (default): rows are drawn with probability ∝ ‖x − x̂‖⁴. `largest`: the row with the largest ‖x − x̂‖, then the
   * largest of what is left when every residual has lost its part (if positive) along the direction just taken.
   */
  readonly rows?: 'sampled' | 'largest';
  /** Resample, besides dead latents, those worth less than a fraction of the median latent. Default: dead ones only. */
  readonly weak?: WeakLatentOptions;
}

export interface WeakLatentOptions {
  /** Fraction of the median latent's worth, in (0, 1). */
  readonly below: number;
  /** The worth is summed over this many steps before each resampling. Default 10. */
  readonly steps?: number;
}

/** Is the batch of step `done` (from 1) one of those over which latents' worth is summed? */
export function isWorthStep(options: ResamplingOptions, done: number, totalSteps: number): boolean {
  if (options.weak === undefined) return false;
  const next = Math.ceil(done / options.every) * options.every;
  return next - done < (options.weak.steps ?? 10) && isResamplingStep(options, next, totalSteps);
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
  const next = options.rows === 'largest' ? largestRows(residual, d) : sampledRows(residual, d, rng);
  const { encoderNorm, decoderNorm } = livingNorms(weights, isDead, d);
  const newDecoderNorm = options.decoderNorm ?? decoderNorm;
  const newEncoderNorm = (options.encoderScale ?? 0.2) * encoderNorm;
  for (const latent of dead) {
    const chosen = next();
    if (chosen === null) return;
    const unit = options.direction === 'input' ? unitRow(x, chosen.row, d) : chosen.direction;
    for (let j = 0; j < d; j++) {
      weights.W_dec[latent * d + j] = unit[j]! * newDecoderNorm;
      weights.W_enc[j * nLatents + latent] = unit[j]! * newEncoderNorm;
    }
    weights.b_enc[latent] = 0;
  }
}

interface ChosenRow {
  readonly row: number;
  /** Unit residual: under `largest` what earlier choices have left of it. */
  readonly direction: Float64Array;
}

function sampledRows(residual: Float32Array, d: number, rng: Rng): () => ChosenRow | null {
  const cumulative = squaredLosses(residual, d);
  const total = cumulative[cumulative.length - 1]!;
  return () => {
    if (!(total > 0)) return null;
    const row = upperBound(cumulative, rng.next() * total);
    return { row, direction: unitRow(residual, row, d) };
  };
}

function largestRows(residual: Float32Array, d: number): () => ChosenRow | null {
  const left = Float64Array.from(residual);
  const nRows = residual.length / d;
  return () => {
    let row = 0;
    let largest = 0;
    for (let i = 0; i < nRows; i++) {
      let squares = 0;
      for (let j = i * d; j < (i + 1) * d; j++) squares += left[j]! * left[j]!;
      if (squares > largest) {
        largest = squares;
        row = i;
      }
    }
    if (!(largest > 1e-18)) return null;
    const direction = unitRow(left, row, d);
    for (let i = 0; i < nRows; i++) {
      let along = 0;
      for (let j = 0; j < d; j++) along += left[i * d + j]! * direction[j]!;
      if (along > 0) for (let j = 0; j < d; j++) left[i * d + j]! -= along * direction[j]!;
    }
    return { row, direction };
  };
}

function unitRow(values: ArrayLike<number>, row: number, d: number): Float64Array {
  let squares = 0;
  for (let j = 0; j < d; j++) squares += values[row * d + j]! ** 2;
  const norm = Math.sqrt(squares) || 1;
  return Float64Array.from({ length: d }, (_, j) => values[row * d + j]! / norm);
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

const schema: Schema<ResamplingOptions> = object<ResamplingOptions>(
  {
    every: whole({ min: 1, help: 'steps between two resamplings' }),
    from: optional(number({ min: 0, max: 1, help: 'where it starts, as a fraction of the run' }), 0),
    until: optional(number({ min: 0, max: 1, help: 'where it ends, as a fraction of the run' }), 0.5),
    direction: optional(choice(['residual', 'input'], { help: 'direction of the new latent' }), 'residual'),
    encoderScale: optional(
      number({ min: 0, help: "norm of the new encoder column, as a fraction of the living ones' mean" }),
      0.2,
    ),
    decoderNorm: optional(
      number({ min: 0, help: "norm of the new decoder row; default: the living ones' mean" }),
    ),
    rows: optional(
      choice(['sampled', 'largest'], { help: 'rows drawn by their loss, or the worst ones' }),
      'sampled',
    ),
    weak: optional(
      object<WeakLatentOptions>(
        {
          below: number({ above: 0, below: 1, help: "fraction of the median latent's worth" }),
          steps: optional(whole({ min: 1, help: 'steps over which the worth is summed' }), 10),
        },
        { help: 'resample latents that are worth next to nothing, too' },
      ),
    ),
  },
  { help: 'rewrite dead latents' },
);

export const resamplingPart: PartDefinition<ResamplingOptions> = {
  name: 'resampling',
  schema,
  start(given, run) {
    const { sae, options } = run;
    check(given);
    if (options.deadLatents === false) {
      throw msaeError('option', 'resampling needs to know the dead latents; leave deadLatents on');
    }
    const { weak } = given;
    const worth = weak === undefined ? null : createWorthTracker();
    const isDue = (done: number): boolean => isResamplingStep(given, done, options.totalSteps);
    const isWatched = (done: number): boolean => isWorthStep(given, done, options.totalSteps);
    return {
      plan(plan) {
        if (isDue(plan.done)) plan.freshDead = true;
        if (isDue(plan.done) || isWatched(plan.done)) plan.keepResidual = true;
      },
      // before the update changes what it is measured with
      async gradients({ plan, weights, z, gradients: { residual } }) {
        if (worth === null || residual === undefined || !isWatched(plan.done)) return null;
        const now = latentWorth(weights, z, residual);
        worth.add(await now.data());
        now.dispose();
        return null;
      },
      async after({ plan, z, gradients: { residual } }) {
        if (!isDue(plan.done) || residual === undefined) return undefined;
        const weakOnes = worth?.weak(weak?.below ?? 0) ?? new Int32Array(0);
        worth?.reset();
        const dead = Int32Array.from(new Set([...run.dead(), ...weakOnes])).sort();
        if (dead.length === 0) return undefined;
        const { W_enc, b_enc, W_dec } = sae.params;
        const host = { W_enc: await copyOf(W_enc), b_enc: await copyOf(b_enc), W_dec: await copyOf(W_dec) };
        const rows = { x: await copyOf(z), residual: await copyOf(residual), width: z.shape[1] };
        resampleLatents(host, rows, dead, given, run.rng);
        for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) write(sae.params[name], host[name]);
        await run.revive(dead);
        const what = weakOnes.length > 0 ? 'dead or weak' : 'dead';
        return [{ code: 'dead-latents', message: `${dead.length} ${what} latents were resampled` }];
      },
      permute: (order) => worth?.permute(order),
      save: () => ({ tensors: { worth: worth?.state() } }),
      async restore(saved) {
        const N = sae.config.nLatents;
        if (saved.has('worth')) worth?.restore(await saved.float64('worth', [N]));
      },
    };
  },
};

function check({ from = 0, until = 0.5, every, weak }: ResamplingOptions): void {
  if (from > until) {
    throw msaeError('option', `resampling: 0 ≤ from ≤ until ≤ 1 is needed, got from ${from}, until ${until}`);
  }
  if ((weak?.steps ?? 0) > every) {
    throw msaeError(
      'option',
      `resampling.weak.steps must be a whole number between 1 and resampling.every = ${every}, got ${weak?.steps}`,
    );
  }
}
