import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignMaximum } from '../src/assignment.ts';
import { groundTruthMetrics, matchLatents, matrix } from '../src/index.ts';
import { selfSimilarity } from '../src/selfSimilarity.ts';
import fixture from './fixtures/ground-truth.json' with { type: 'json' };

const truth = matrix(fixture.truth, fixture.d);
const decoder = matrix(fixture.decoder, fixture.d);
const latents = matrix(fixture.latents, fixture.n);
const features = matrix(fixture.features, fixture.f);

describe('assignMaximum', () => {
  it('finds the same total as SciPy on square and rectangular scores', () => {
    for (const { rows, columns, score, total } of fixture.assignments) {
      const { columnOfRow, rowOfColumn } = assignMaximum(matrix(score, columns, rows));
      let found = 0;
      let pairs = 0;
      columnOfRow.forEach((j, i) => {
        if (j < 0) return;
        expect(rowOfColumn[j]).toBe(i);
        found += score[i * columns + j]!;
        pairs += 1;
      });
      expect(pairs).toBe(Math.min(rows, columns));
      expect(found).toBeCloseTo(total, 9);
    }
  });

  it('equals brute force over all permutations', () => {
    const best = (score: number[][], row = 0, used = 0): number =>
      row === score.length
        ? 0
        : Math.max(
            ...score[row]!.map((s, j) =>
              used & (1 << j) ? -Infinity : s + best(score, row + 1, used | (1 << j)),
            ),
          );
    const square = fc.integer({ min: 1, max: 5 }).chain((n) =>
      fc.array(fc.array(fc.integer({ min: -4, max: 4 }), { minLength: n, maxLength: n }), {
        minLength: n,
        maxLength: n,
      }),
    );
    fc.assert(
      fc.property(square, (score) => {
        const { columnOfRow } = assignMaximum(matrix(score.flat(), score.length));
        const total = Array.from(columnOfRow).reduce((sum, j, i) => sum + score[i]![j]!, 0);
        expect(total).toBe(best(score));
      }),
    );
  });

  it('refuses a score that is not finite', () => {
    expect(() => assignMaximum(matrix([1, 2, 3, Number.NaN], 2))).toThrow(/score \(1, 1\) is NaN/);
  });
});

describe('matchLatents', () => {
  it('equals SciPy and NumPy', () => {
    const match = matchLatents({ decoder, truth });
    expect(Array.from(match.latentOfFeature)).toEqual(fixture.latentOfFeature);
    expect(Array.from(match.nearestFeature)).toEqual(fixture.nearest);
    expect(match.mcc).toBeCloseTo(fixture.mcc, 10);
    expect(match.mmcs).toBeCloseTo(fixture.mmcs, 10);
    expect(match.uniqueness).toBeCloseTo(fixture.uniqueness, 10);
  });

  it('matches by activations when they are given', () => {
    const match = matchLatents({ decoder, truth, activations: { latents, features } });
    expect(Array.from(match.latentOfFeature)).toEqual(fixture.latentOfFeatureByActivation);
    expect(match.mcc).toBeCloseTo(fixture.mcc, 10);
  });

  it('leaves features without a latent unmatched', () => {
    const match = matchLatents({ decoder: matrix([1, 0, 0], 3), truth: matrix([0, 1, 0, 1, 0.1, 0], 3) });
    expect(Array.from(match.latentOfFeature)).toEqual([-1, 0]);
    expect(match.cosine[0]).toBeNaN();
  });

  it('refuses another width', () => {
    expect(() => matchLatents({ decoder, truth: matrix([1, 2], 2) })).toThrow(
      /truth: rows are 2 wide, expected 6/,
    );
  });
});

describe('groundTruthMetrics', () => {
  const match = matchLatents({ decoder, truth });

  it('equals scikit-learn', () => {
    const metrics = groundTruthMetrics({
      match,
      latents,
      features,
      truth,
      decoder,
      parentOfFeature: fixture.parent,
    });
    const close = (actual: number | undefined, expected: number) => expect(actual).toBeCloseTo(expected, 10);
    close(metrics.l0, fixture.l0);
    close(metrics.trueL0, fixture.trueL0);
    expect(metrics.deadLatents).toBe(fixture.dead);
    for (const key of ['precision', 'recall', 'f1', 'accuracy'] as const) {
      close(metrics.matched[key], fixture.matched[key]);
      close(metrics.nearest[key], fixture.nearestScore[key]);
    }
    close(metrics.matched.minF1, fixture.minF1);
    close(metrics.tree?.absorption, fixture.absorption);
    close(metrics.tree?.perParent.find((p) => p.parent === 3)?.absorption, fixture.perParent['3']);
    close(metrics.tree?.childLatentParentFeature.mean, fixture.childParent[0]!);
    close(metrics.tree?.childLatentParentFeature.meanAbsolute, fixture.childParent[1]!);
    close(metrics.tree?.parentLatentChildFeature.mean, fixture.parentChild[0]!);
    close(metrics.tree?.parentLatentChildFeature.meanAbsolute, fixture.parentChild[1]!);
  });

  it('calls a fully absorbed tree absorbed: the parent latent is silent on children', () => {
    const r = Math.SQRT1_2;
    const absorbed = matrix([1, 0, r, r], 2); // latent 1 = parent and child together
    const directions = matrix([1, 0, 0, 1], 2);
    const metrics = groundTruthMetrics({
      match: matchLatents({ decoder: absorbed, truth: directions }),
      latents: matrix([1, 0, 0, Math.SQRT2, 0, 0], 2),
      features: matrix([1, 0, 1, 1, 0, 0], 2),
      truth: directions,
      decoder: absorbed,
      parentOfFeature: [-1, 0],
    });
    expect(metrics.tree?.absorption).toBe(1);
    expect(metrics.tree?.childLatentParentFeature.mean).toBeCloseTo(r, 12);
  });

  it('refuses a parent that does not exist', () => {
    expect(() =>
      groundTruthMetrics({ match, latents, features, parentOfFeature: [9, 0, 0, 0, 0, 0, 0] }),
    ).toThrow(/parentOfFeature\[0\] is 9/);
  });
});

it('selfSimilarity equals NumPy', () => {
  const { mean, max } = selfSimilarity(decoder);
  expect(mean).toBeCloseTo(fixture.selfSimilarity[0]!, 10);
  expect(max).toBeCloseTo(fixture.selfSimilarity[1]!, 10);
});
