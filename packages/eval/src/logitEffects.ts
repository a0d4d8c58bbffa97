/** What a latent does to the next-token prediction directly: its decoder row through the unembedding. */
import { checkMatrix, type Matrix } from './matrix.ts';

export interface LogitEffect {
  readonly token: number;
  /** Change of the token's logit for one unit of activation, with the mean over the vocabulary taken off. */
  readonly effect: number;
}

export interface LogitEffects {
  readonly promoted: LogitEffect[];
  readonly suppressed: LogitEffect[];
}

/**
 * The `top` most promoted and most suppressed tokens of every latent: W_dec [N, d] times the unembedding [V, d] (one row a token;
 * fold the final normaliser's gain into it). Later layers and the final normalisation are left out, as in every "direct logit effect".
 */
export function logitEffects(options: {
  readonly decoder: Matrix;
  readonly unembedding: Matrix;
  readonly top?: number;
}): LogitEffects[] {
  const { decoder, unembedding, top = 8 } = options;
  checkMatrix('logitEffects: decoder', decoder);
  checkMatrix('logitEffects: unembedding', unembedding, decoder.columns);
  const width = decoder.columns;
  const vocabulary = unembedding.rows;
  const centre = new Float64Array(width);
  for (let at = 0; at < vocabulary * width; at++) centre[at % width]! += unembedding.data[at]! / vocabulary;
  const tokens = Float64Array.from(
    { length: vocabulary * width },
    (_, at) => unembedding.data[at]! - centre[at % width]!,
  );
  const all: LogitEffects[] = [];
  for (let first = 0; first < decoder.rows; first += BLOCK) {
    const count = Math.min(BLOCK, decoder.rows - first);
    const rows = Float64Array.from({ length: count * width }, (_, at) => decoder.data[first * width + at]!);
    const effects = Array.from({ length: count }, () => new Float64Array(vocabulary));
    for (let t = 0; t < vocabulary; t++) {
      for (let r = 0; r < count; r++) effects[r]![t] = dot(rows, r * width, tokens, t * width, width);
    }
    for (const own of effects)
      all.push({ promoted: strongest(own, top, 1), suppressed: strongest(own, top, -1) });
  }
  return all;
}

/** Latents that a token's row is read for at a time: the unembedding does not fit the fast caches, they do. */
const BLOCK = 16;

/** Two sums at a time: one would wait for its own last addition. */
function dot(a: Float64Array, fromA: number, b: Float64Array, fromB: number, width: number): number {
  let even = 0;
  let odd = 0;
  let k = 0;
  for (; k + 1 < width; k += 2) {
    even += a[fromA + k]! * b[fromB + k]!;
    odd += a[fromA + k + 1]! * b[fromB + k + 1]!;
  }
  return even + odd + (k < width ? a[fromA + k]! * b[fromB + k]! : 0);
}

/** The `top` entries greatest in the direction of `sign`, in order. */
function strongest(effects: Float64Array, top: number, sign: 1 | -1): LogitEffect[] {
  const best: LogitEffect[] = [];
  for (let token = 0; token < effects.length; token++) {
    const effect = effects[token]!;
    if (best.length === top && sign * effect <= sign * best[top - 1]!.effect) continue;
    let place = best.length;
    while (place > 0 && sign * best[place - 1]!.effect < sign * effect) place -= 1;
    best.splice(place, 0, { token, effect });
    if (best.length > top) best.pop();
  }
  return best;
}
