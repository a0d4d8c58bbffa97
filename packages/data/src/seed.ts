import { createRng, type Rng } from '@msae/sampler';
import { msaeError } from '@msae/schema';

/**
 * An independent generator for one purpose: `streamRng(seed, epoch, pool)`. The numbers are hashed together
 * (the finaliser of MurmurHash3), so that neighbouring seeds and epochs share nothing.
 */
export function streamRng(...path: number[]): Rng {
  let hash = 0x9e3779b9;
  for (const part of path) {
    if (!Number.isSafeInteger(part)) throw msaeError('option', `seed: expected a whole number, got ${part}`);
    hash = mix(hash ^ (part | 0));
    hash = mix(hash ^ Math.floor(part / 2 ** 32));
  }
  return createRng(hash);
}

function mix(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) + 0x6d2b79f5) | 0;
}

/** The numbers 0 … n-1 in a random order (Fisher-Yates). */
export function permutation(n: number, rng: Rng): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    const swap = order[i]!;
    order[i] = order[j]!;
    order[j] = swap;
  }
  return order;
}
