import { describe, expect, it } from 'vitest';
import {
  checkPrefixes,
  createRng,
  everyPrefix,
  fixedWidths,
  fractions,
  fullPrefix,
  geometricWidths,
  type Prefixes,
  truncatedPareto,
} from '../src/index.ts';

const rng = createRng(0);
const plain = ({ lengths, weights }: Prefixes) => ({
  lengths: Array.from(lengths),
  weights: Array.from(weights),
});

describe('schemes', () => {
  it('the full prefix alone', () => {
    expect(plain(fullPrefix().sample(8, rng))).toEqual({ lengths: [8], weights: [1] });
  });

  it('fixed widths, N added where it is missing, 0 for the bias alone', () => {
    expect(plain(fixedWidths([2, 4]).sample(8, rng))).toEqual({ lengths: [2, 4, 8], weights: [1, 1, 1] });
    expect(plain(fixedWidths([0, 4, 8], [0.5, 1, 2]).sample(8, rng))).toEqual({
      lengths: [0, 4, 8],
      weights: [0.5, 1, 2],
    });
    expect(() => fixedWidths([4, 4]).sample(8, rng)).toThrow('prefix 1 has 4 after 4');
    expect(() => fixedWidths([9]).sample(8, rng)).toThrow('length 9');
    expect(() => fixedWidths([4, 8], [1]).sample(8, rng)).toThrow('2 lengths and 1 weights');
    expect(() => fixedWidths([4, 8], [1, -1]).sample(8, rng)).toThrow('weight -1');
    expect(() => fixedWidths([])).toThrow('got none');
  });

  it("fractions are dictionary_learning's: block sizes, the last takes the remainder", () => {
    const blocks = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2 + 1 / 32];
    expect(plain(fractions(blocks).sample(1000, rng)).lengths).toEqual([31, 93, 218, 468, 1000]);
    expect(() => fractions([0.5, 0.6])).toThrow('sum to 1');
    expect(() => fractions([1.5, -0.5])).toThrow('must be positive');
    expect(() => fractions([0.01, 0.99]).sample(20, rng).lengths).not.toThrow();
    expect(() => fractions([0.4, 0.01, 0.59]).sample(20, rng)).toThrow('must increase strictly');
  });

  it('geometric widths', () => {
    expect(plain(geometricWidths({ count: 4 }).sample(64, rng)).lengths).toEqual([8, 16, 32, 64]);
    expect(() => geometricWidths({ count: 9 }).sample(16, rng)).toThrow('must increase strictly');
    expect(() => geometricWidths({ count: 2, ratio: 1 })).toThrow('ratio must be above 1');
  });

  it('every prefix has the weights of the expected loss', () => {
    const N = 16;
    const { lengths, weights } = plain(everyPrefix({ count: 5 }).sample(N, rng));
    expect(lengths).toEqual(Array.from({ length: N }, (_, i) => i + 1));
    for (let p = 1; p < N; p++) {
      expect(weights[p - 1]).toBeCloseTo(
        ((4 / 5) * (Math.sqrt(p) - Math.sqrt(p - 1))) / Math.sqrt(N - 1),
        12,
      );
    }
    expect(weights[N - 1]).toBeCloseTo(1 / 5, 12);
    expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    const sum = plain(everyPrefix({ count: 5, reduction: 'sum' }).sample(N, rng)).weights;
    expect(sum.reduce((a, b) => a + b)).toBeCloseTo(5, 12);
  });

  it('a scheme can be asked for another N', () => {
    const scheme = everyPrefix();
    expect(scheme.sample(4, rng).lengths.length).toBe(4);
    expect(scheme.sample(6, rng).lengths.length).toBe(6);
  });

  it('all pass their own check', () => {
    for (const scheme of [
      truncatedPareto(),
      everyPrefix(),
      fullPrefix(),
      fixedWidths([3]),
      geometricWidths({ count: 3 }),
    ]) {
      expect(() => checkPrefixes(scheme.sample(64, rng), 64), scheme.kind).not.toThrow();
    }
  });
});
