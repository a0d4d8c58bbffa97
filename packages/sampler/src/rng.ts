/**
 * The one source of randomness of all msae packages: xoroshiro128+ of `pure-rand`, seeded through splitmix32 so that
 * neighbouring seeds give unrelated streams. Explicit, never global; its whole state is four 32-bit integers.
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';

/** The state of an {@link Rng}: four 32-bit signed integers, not all zero. Survives JSON. */
export type RngState = readonly [number, number, number, number];

/** A seeded stream of random numbers. One seed gives one stream on every platform. */
export interface Rng {
  /** A float64 uniform in [0, 1) with 53 random bits. */
  next(): number;
  /** An integer uniform in 0 … n−1. @throws RangeError unless 1 ≤ n ≤ 2^53 − 1. */
  int(n: number): number;
  /** A standard normal deviate (Box–Muller; two uniforms each, nothing is cached). */
  normal(): number;
  /** The state to hand to {@link createRng} later: the stream then goes on exactly where it was. */
  state(): RngState;
}

/**
 * Makes a random stream from a seed, or goes on with a saved one.
 *
 * @param seed an integer (taken modulo 2^64, so negative ones are fine), or a state from {@link Rng.state}.
 * @throws RangeError for a seed that is not a safe integer, or a state that is not four 32-bit integers.
 */
export function createRng(seed: number | RngState): Rng {
  const generator = xoroshiro128plusFromState(typeof seed === 'number' ? expand(seed) : checkState(seed));
  return {
    next: () => uniformFloat64(generator),
    int(n: number): number {
      if (!Number.isSafeInteger(n) || n < 1) {
        throw new RangeError(`rng.int: n must be an integer of at least 1, got ${n}`);
      }
      return uniformInt(generator, 0, n - 1);
    },
    normal(): number {
      const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
      return radius * Math.cos(2 * Math.PI * uniformFloat64(generator));
    },
    state(): RngState {
      const [a = 0, b = 0, c = 0, d = 0] = generator.getState();
      return [a, b, c, d];
    },
  };
}

/** splitmix32, four times: the usual way to fill a xoroshiro state from one number. */
function expand(seed: number): RngState {
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(`createRng: a seed must be an integer (|seed| < 2^53), got ${seed}`);
  }
  let low = seed | 0;
  const high = Math.floor(seed / 2 ** 32) | 0;
  const word = (): number => {
    low = (low + 0x9e3779b9) | 0;
    let z = low ^ high;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) | 0;
  };
  return [word(), word(), word(), word()];
}

function checkState(state: RngState): RngState {
  const ok =
    Array.isArray(state) &&
    state.length === 4 &&
    state.every((word) => Number.isInteger(word) && (word | 0) === word);
  if (!ok || state.every((word) => word === 0)) {
    throw new RangeError(
      `createRng: a state is four 32-bit integers, not all zero (as rng.state() returns them), got ${JSON.stringify(state)}`,
    );
  }
  return state;
}
