import { describe, expect, it } from 'vitest';
import { activationHistograms } from '../src/activationHistogram.ts';
import { cooccurrenceAccumulator } from '../src/cooccurrence.ts';
import {
  type ActiveRows,
  activeRows,
  densityHistogram,
  logitEffects,
  matrix,
  reconstructionAccumulator,
} from '../src/index.ts';
import { labelProfiles } from '../src/labelProfile.ts';
import { sparsityAccumulator } from '../src/sparsity.ts';
import fixture from './fixtures/metrics.json' with { type: 'json' };

const { s, n, d } = fixture;

/** Rows `from` to `to` of the fixture's activations. */
const rowsOf = (from: number, to: number): ActiveRows =>
  activeRows(matrix(fixture.f.slice(from * n, to * n), n));
const batches = [rowsOf(0, 130), rowsOf(130, 131), rowsOf(131, s)];
const closeTo = (actual: number | undefined, expected: number) =>
  expect(Math.abs(actual! - expected)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected)));

describe('reconstructionAccumulator', () => {
  it('equals NumPy, in batches of any size', () => {
    const accumulator = reconstructionAccumulator(d);
    for (const [from, to] of [
      [0, 1],
      [1, 250],
      [250, s],
    ] as const) {
      accumulator.add(
        matrix(fixture.x.slice(from * d, to * d), d),
        matrix(fixture.xHat.slice(from * d, to * d), d),
      );
    }
    const result = accumulator.result();
    for (const key of ['fvu', 'mse', 'cosine', 'l2Ratio', 'relativeBias'] as const) {
      closeTo(result[key], fixture.recon[key]);
    }
    expect(result.tokens).toBe(s);
  });

  it('does not depend on the scale of x or on a mean far from zero', () => {
    const fvu = (scale: number, offset: number) => {
      const accumulator = reconstructionAccumulator(d);
      const move = (values: number[]) =>
        matrix(
          Float64Array.from(values, (v) => v * scale + offset),
          d,
        );
      accumulator.add(move(fixture.x), move(fixture.xHat));
      return accumulator.result().fvu;
    };
    expect(fvu(10, 0)).toBeCloseTo(fixture.recon.fvu, 10);
    expect(fvu(1, 1e6)).toBeCloseTo(fixture.recon.fvu, 6);
  });

  it('says which token is not finite, and refuses another width', () => {
    const accumulator = reconstructionAccumulator(2);
    expect(() => accumulator.add(matrix([1, 2, 3, 4], 2), matrix([1, 2, Number.NaN, 4], 2))).toThrow(
      /token 1/,
    );
    expect(() => accumulator.add(matrix([1, 2, 3], 3), matrix([1, 2, 3], 3))).toThrow(/3 wide, expected 2/);
    expect(() => accumulator.result()).toThrow(/no tokens/);
  });
});

describe('sparsityAccumulator', () => {
  it('equals NumPy', () => {
    const accumulator = sparsityAccumulator(n);
    for (const batch of batches) accumulator.add(batch);
    const result = accumulator.result();
    for (const key of ['l0', 'l1', 'dead', 'over1Percent', 'over10Percent'] as const) {
      closeTo(result[key], fixture.sparsity[key]);
    }
    for (const key of ['densities', 'maxActivation', 'meanActivation'] as const) {
      result[key].forEach((value, i) => {
        closeTo(value, fixture.sparsity[key][i]!);
      });
    }
  });

  it('refuses another number of latents', () => {
    expect(() => sparsityAccumulator(3).add(batches[0]!)).toThrow(/activations of 12 latents, expected 3/);
  });
});

it('activeRows refuses what is not finite', () => {
  expect(() => activeRows(matrix([0, 1, Infinity, 0], 2))).toThrow(/row 1, latent 0 is Infinity/);
});

it('densityHistogram puts exact powers of ten in the bin they begin', () => {
  const { counts, edges, dead } = densityHistogram([0, 0.1, 0.01, 1, 1e-9, 0.5], {
    lowest: -3,
    binsPerDecade: 1,
  });
  expect(edges).toEqual([-3, -2, -1, 0]);
  expect(counts).toEqual([1, 1, 3]);
  expect(dead).toBe(1);
});

describe('cooccurrenceAccumulator', () => {
  it('counts every pair exactly when they fit', () => {
    const accumulator = cooccurrenceAccumulator({ nLatents: n });
    for (const batch of batches) accumulator.add(batch);
    const counts = accumulator.result();
    expect(counts.maxUndercount).toBe(0);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) expect(counts.together(i, j)).toBe(fixture.together[i * n + j]);
    }
  });

  it('with a bounded table keeps the frequent pairs within the stated undercount', () => {
    const accumulator = cooccurrenceAccumulator({ nLatents: n, maxPairs: 40 });
    for (const batch of batches) accumulator.add(batch);
    const counts = accumulator.result();
    expect(counts.maxUndercount).toBeGreaterThan(0);
    let held = 0;
    counts.forEachPair((i, j, count) => {
      held += 1;
      expect(i).toBeLessThan(j);
      const exact = fixture.together[i * n + j]!;
      expect(count).toBeLessThanOrEqual(exact);
      expect(count).toBeGreaterThanOrEqual(exact - counts.maxUndercount);
    });
    expect(held).toBeLessThanOrEqual(40);
  });

  it('is exact in a table that never overflows', () => {
    const accumulator = cooccurrenceAccumulator({ nLatents: n, maxPairs: (n * (n - 1)) / 2 - 1 });
    const some = rowsOf(0, 20);
    accumulator.add(some);
    const exact = cooccurrenceAccumulator({ nLatents: n });
    exact.add(some);
    exact.result().forEachPair((i, j, count) => {
      expect(accumulator.result().together(j, i)).toBe(count);
    });
  });
});

describe('activationHistograms', () => {
  it('equals numpy.histogram over [0, 1) for values below 1', () => {
    const accumulator = activationHistograms({ nLatents: n });
    for (const batch of batches) accumulator.add(batch);
    for (let i = 0; i < n; i++) {
      const { upper, counts } = accumulator.histogram(i);
      if (upper === 1) expect(Array.from(counts)).toEqual(fixture.histograms[i]);
      expect(counts.reduce((sum, c) => sum + c, 0)).toBe(fixture.together[i * n + i]);
    }
    expect(accumulator.histogram(0).upper).toBe(1);
  });

  it('doubles its range and keeps the counts', () => {
    const accumulator = activationHistograms({ nLatents: 1, bins: 4 });
    accumulator.add(activeRows(matrix([0.9, 0.1, 3.5, 1.5, 7], 1)));
    expect(accumulator.histogram(0)).toEqual({ upper: 8, counts: Uint32Array.from([3, 1, 0, 1]) });
  });
});

it('labelProfiles: share, recall and lift', () => {
  const profiles = labelProfiles({ nLatents: 2, nLabels: 3 });
  profiles.add(activeRows(matrix([1, 0, 1, 0, 1, 1, 0, 1, 1, 1], 2)), [0, 0, 1, 1, -1]);
  expect(Array.from(profiles.base())).toEqual([0.5, 0.5, 0]);
  expect(profiles.profile(0)).toEqual([
    { label: 0, share: 2 / 3, recall: 1, lift: 4 / 3 },
    { label: 1, share: 1 / 3, recall: 0.5, lift: 2 / 3 },
  ]);
  expect(profiles.profile(1)).toEqual([{ label: 1, share: 1, recall: 1, lift: 2 }]);
  expect(() => profiles.add(activeRows(matrix([1, 0], 2)), [3])).toThrow(/label 3 of row 0/);
});

it('logitEffects equal NumPy', () => {
  const effects = logitEffects({
    decoder: matrix(fixture.decoder, d),
    unembedding: matrix(fixture.unembedding, d),
    top: 3,
  });
  effects.forEach(({ promoted, suppressed }, i) => {
    expect(promoted.map((e) => e.token)).toEqual(fixture.effects.top[i]);
    expect(suppressed.map((e) => e.token)).toEqual(fixture.effects.bottom[i]);
    closeTo(promoted[0]?.effect, fixture.effects.topValue[i]!);
  });
});
