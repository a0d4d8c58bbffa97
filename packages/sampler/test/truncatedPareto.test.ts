import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng, paretoCdf, paretoPmf, paretoQuantile, truncatedPareto } from '../src/index.ts';
import { chiSquareScore } from './chiSquare.ts';

describe('the distribution', () => {
  it.each([
    [20, 0.5, 1],
    [50, 0.3, 4],
    [30, 2, 1],
  ])(
    'N=%d, power %d, minLength %d: pmf sums to 1, cdf is its sum, the quantile inverts it',
    (N, power, minLength) => {
      const options = { power, minLength };
      let sum = 0;
      for (let p = 0; p <= N; p++) {
        const before = sum;
        sum += paretoPmf(p, N, options);
        expect(paretoCdf(p, N, options)).toBeCloseTo(Math.min(sum, 1), 12);
        if (sum > before) expect(paretoQuantile((before + sum) / 2, N, options)).toBe(p);
      }
      expect(sum).toBeCloseTo(1, 12);
    },
  );

  it('is (p−m+1)^α − (p−m)^α, up to its sum', () => {
    expect(paretoPmf(3, 10) / paretoPmf(1, 10)).toBeCloseTo((Math.sqrt(3) - Math.sqrt(2)) / 1, 12);
    expect(paretoPmf(10, 10)).toBe(0);
    expect(paretoPmf(0, 10)).toBe(0);
  });

  it('a u that rounds up to 1 still gives a length below N', () => {
    expect(paretoQuantile(1 - 2 ** -53, 10, { power: 3 })).toBe(9);
  });

  it('one draw follows the pmf (χ²)', () => {
    const [N, draws] = [40, 200_000];
    const rng = createRng(11);
    const scheme = truncatedPareto({ count: 2 });
    const observed = new Array<number>(N + 1).fill(0);
    for (let i = 0; i < draws; i++) observed[scheme.sample(N, rng).lengths[0]!]!++;
    const expected = observed.map((_, p) => draws * paretoPmf(p, N));
    expect(chiSquareScore(observed, expected)).toBeLessThan(4);
  });
});

/** Brute force: one length after the other from the weights of those not yet drawn. */
function sequentialDraw(N: number, count: number, power: number, random: () => number): number[] {
  const left = new Map<number, number>();
  for (let p = 1; p < N; p++) left.set(p, p ** power - (p - 1) ** power);
  const drawn: number[] = [];
  while (drawn.length < count - 1) {
    let rest = random() * [...left.values()].reduce((a, b) => a + b, 0);
    for (const [p, weight] of left) {
      rest -= weight;
      if (rest < 0) {
        drawn.push(p);
        left.delete(p);
        break;
      }
    }
  }
  return drawn;
}

describe('draws without replacement', () => {
  // P = 10 of 20 goes by rejection at N = 41 and by exponential clocks at N = 20: both must be the sequential law.
  it.each([
    [20, 10, 0.5],
    [41, 10, 0.5],
    [12, 11, 0.3],
  ])('N=%d, P=%d, power %d: inclusion is that of brute-force sequential sampling', (N, count, power) => {
    const draws = 20_000;
    const [ours, brute] = [new Array<number>(N).fill(0), new Array<number>(N).fill(0)];
    const rng = createRng(1);
    const scheme = truncatedPareto({ count, power });
    const other = createRng(2);
    for (let i = 0; i < draws; i++) {
      const { lengths } = scheme.sample(N, rng);
      for (let j = 0; j < count - 1; j++) ours[lengths[j]!]!++;
      for (const p of sequentialDraw(N, count, power, other.next)) brute[p]!++;
    }
    for (let p = 1; p < N; p++) {
      const [a, b] = [ours[p]! / draws, brute[p]! / draws];
      const sd = Math.sqrt((a * (1 - a) + b * (1 - b)) / draws) || 1e-9;
      expect(Math.abs(a - b) / sd, `length ${p}: ${a} against ${b}`).toBeLessThan(4.5);
    }
  });

  it('gives the inclusion probabilities of the reference code (N=20, P=10, 20,000 of its draws)', () => {
    const reference = [
      0.957, 0.747, 0.651, 0.588, 0.548, 0.514, 0.487, 0.456, 0.433, 0.409, 0.394, 0.394, 0.376, 0.363, 0.357,
      0.346, 0.335, 0.323, 0.322, 1,
    ];
    const counts = new Array<number>(21).fill(0);
    const rng = createRng(5);
    const scheme = truncatedPareto({ count: 10 });
    for (let i = 0; i < 50_000; i++) for (const p of Array.from(scheme.sample(20, rng).lengths)) counts[p]!++;
    for (const [i, probability] of reference.entries()) {
      expect(Math.abs(counts[i + 1]! / 50_000 - probability), `length ${i + 1}`).toBeLessThan(0.016);
    }
  });

  it('are sorted, distinct, within bounds and end in N', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0.05, max: 4, noNaN: true }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer(),
        (N, count, power, minLength, seed) => {
          fc.pre(N - minLength >= count - 1 && minLength <= N);
          const { lengths, weights } = truncatedPareto({ count, power, minLength }).sample(
            N,
            createRng(seed),
          );
          expect(lengths.length).toBe(count);
          expect(weights.length).toBe(count);
          expect(lengths[count - 1]).toBe(N);
          for (let j = 0; j < count - 1; j++) {
            expect(lengths[j]).toBeGreaterThanOrEqual(minLength);
            expect(lengths[j]).toBeLessThan(lengths[j + 1]!);
          }
        },
      ),
    );
  });

  it('handles the edges: P=1, m=N, every length, a power that leaves hardly a chance', () => {
    const rng = createRng(0);
    expect(Array.from(truncatedPareto({ count: 1 }).sample(7, rng).lengths)).toEqual([7]);
    expect(Array.from(truncatedPareto({ count: 1, minLength: 7 }).sample(7, rng).lengths)).toEqual([7]);
    expect(Array.from(truncatedPareto({ count: 7 }).sample(7, rng).lengths)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(
      new Set(Array.from(truncatedPareto({ count: 40, power: 1e-3 }).sample(1000, rng).lengths)).size,
    ).toBe(40);
  });

  it.each([
    [
      { count: 10 },
      9,
      '9 distinct lengths beside N = 9 were asked for, but only 8 exist between 1 and 8; lower count',
    ],
    [{ count: 2, minLength: 7 }, 7, 'only 0 exist'],
    [{ count: 1, minLength: 8 }, 7, 'lower count or minLength'],
  ])('%o of N=%d is refused', (options, N, message) => {
    expect(() => truncatedPareto(options).sample(N, createRng(0))).toThrow(RangeError);
    expect(() => truncatedPareto(options).sample(N, createRng(0))).toThrow(message);
  });

  it.each([
    [{ count: 0 }, 'count must be an integer of at least 1, got 0'],
    [{ count: 2.5 }, 'got 2.5'],
    [{ power: 0 }, 'power must be a finite number above 0, got 0'],
    [{ power: Number.NaN }, 'got NaN'],
    [{ minLength: 0 }, 'minLength must be an integer of at least 1, got 0'],
  ])('%o is refused', (options, message) => {
    expect(() => truncatedPareto(options)).toThrow(message);
  });

  it('reduction sets the weights', () => {
    expect(Array.from(truncatedPareto({ count: 4 }).sample(9, createRng(0)).weights)).toEqual([1, 1, 1, 1]);
    expect(
      Array.from(truncatedPareto({ count: 4, reduction: 'mean' }).sample(9, createRng(0)).weights),
    ).toEqual([0.25, 0.25, 0.25, 0.25]);
  });
});
