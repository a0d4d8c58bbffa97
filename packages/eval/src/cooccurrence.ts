/**
 * Which latents fire together. Exact for dictionaries whose pairs fit `maxPairs`; above that a bounded table in the manner of
 * lossy counting (Manku & Motwani 2002): rare pairs are forgotten, and `maxUndercount` says how many joint firings any pair can
 * have lost. One pass.
 */
import { msaeError } from '@msae/schema';
import { type ActiveRows, checkActiveRows } from './activeRows.ts';

export interface Cooccurrence {
  readonly nLatents: number;
  readonly tokens: number;
  /** Tokens on which each latent fired, [N]. */
  readonly fired: Float64Array;
  /** No pair's count is too low by more than this; 0 means exact. */
  readonly maxUndercount: number;
  /** Tokens on which both fired. */
  together(i: number, j: number): number;
  /** Calls back for every pair i < j seen together. */
  forEachPair(visit: (i: number, j: number, count: number) => void): void;
}

export interface CooccurrenceAccumulator {
  add(active: ActiveRows): void;
  result(): Cooccurrence;
}

export interface CooccurrenceOptions {
  readonly nLatents: number;
  /** Most pairs held at once, default 2^23: exact up to 4,096 latents in 34 MB. Above that the table takes 24 bytes a pair. */
  readonly maxPairs?: number;
}

interface PairCounts {
  increment(i: number, j: number): void;
  get(i: number, j: number): number;
  forEach(visit: (i: number, j: number, count: number) => void): void;
  readonly maxUndercount: number;
}

export function cooccurrenceAccumulator(options: CooccurrenceOptions): CooccurrenceAccumulator {
  const { nLatents, maxPairs = 2 ** 23 } = options;
  if (!(maxPairs >= 1))
    throw msaeError('option', `cooccurrence: maxPairs is ${maxPairs}; expected at least 1`);
  const exact = (nLatents * (nLatents - 1)) / 2 <= maxPairs;
  const pairs = exact ? triangle(nLatents) : boundedTable(nLatents, maxPairs);
  const fired = new Float64Array(nLatents);
  let tokens = 0;
  return {
    add(active) {
      checkActiveRows('cooccurrence', active, nLatents);
      tokens += active.rows;
      for (let r = 0; r < active.rows; r++) {
        const end = active.offsets[r + 1]!;
        for (let at = active.offsets[r]!; at < end; at++) {
          const i = active.indices[at]!;
          fired[i]! += 1;
          for (let other = at + 1; other < end; other++) pairs.increment(i, active.indices[other]!);
        }
      }
    },
    result: () => ({
      nLatents,
      tokens,
      fired: fired.slice(),
      maxUndercount: pairs.maxUndercount,
      together: (i, j) => (i === j ? fired[i]! : pairs.get(Math.min(i, j), Math.max(i, j))),
      forEachPair: (visit) => pairs.forEach(visit),
    }),
  };
}

/** Every pair i < j in one flat array, row after row. */
function triangle(n: number): PairCounts {
  const counts = new Uint32Array((n * (n - 1)) / 2);
  const at = (i: number, j: number) => i * n - (i * (i + 1)) / 2 + j - i - 1;
  return {
    maxUndercount: 0,
    increment: (i, j) => {
      counts[at(i, j)]! += 1;
    },
    get: (i, j) => counts[at(i, j)]!,
    forEach: (visit) => {
      for (let i = 0, next = 0; i < n; i++) {
        for (let j = i + 1; j < n; j++, next++) if (counts[next]! > 0) visit(i, j, counts[next]!);
      }
    },
  };
}

/** Open addressing with linear probing; when full, the rarest half or more is dropped. */
function boundedTable(n: number, maxPairs: number): PairCounts {
  const capacity = 2 ** Math.ceil(Math.log2(maxPairs * 1.5));
  let keys = new Float64Array(capacity).fill(-1); // i · n + j, exact in a double
  let counts = new Uint32Array(capacity);
  let size = 0;
  let lost = 0;

  const slot = (key: number): number => {
    let at =
      (Math.imul((key % 2 ** 32) | 0, 0x9e3779b1) ^ Math.imul(Math.floor(key / 2 ** 16) | 0, 0x85ebca6b)) >>>
      0;
    at &= capacity - 1;
    while (keys[at] !== key && keys[at] !== -1) at = (at + 1) & (capacity - 1);
    return at;
  };
  const prune = (): void => {
    const kept = counts.filter((count) => count > 0).sort();
    const floor = kept[kept.length >> 1]!;
    lost += floor;
    const [oldKeys, oldCounts] = [keys, counts];
    keys = new Float64Array(capacity).fill(-1);
    counts = new Uint32Array(capacity);
    size = 0;
    for (let at = 0; at < capacity; at++) {
      if (oldCounts[at]! <= floor) continue;
      const to = slot(oldKeys[at]!);
      keys[to] = oldKeys[at]!;
      counts[to] = oldCounts[at]!;
      size += 1;
    }
  };
  return {
    get maxUndercount() {
      return lost;
    },
    increment(i, j) {
      const key = i * n + j;
      let at = slot(key);
      if (keys[at] === -1) {
        if (size >= maxPairs) {
          prune();
          at = slot(key);
        }
        keys[at] = key;
        size += 1;
      }
      counts[at]! += 1;
    },
    get: (i, j) => counts[slot(i * n + j)]!,
    forEach: (visit) => {
      for (let at = 0; at < capacity; at++) {
        if (counts[at]! > 0) visit(Math.floor(keys[at]! / n), keys[at]! % n, counts[at]!);
      }
    },
  };
}
