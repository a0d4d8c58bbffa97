import { describe, expect, it } from 'vitest';
import { absorption } from '../src/absorption.ts';
import { activeRows, matrix } from '../src/index.ts';
import { labelAbsorption } from '../src/labelAbsorption.ts';
import { fitLogistic } from '../src/logistic.ts';
import { fitSparseLogistic } from '../src/sparseLogistic.ts';
import { sparseProbing } from '../src/sparseProbing.ts';
import fixture from './fixtures/metrics.json' with { type: 'json' };

const { n, d } = fixture;
const closeTo = (actual: number, expected: number) =>
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(expected)));
const classX = matrix(fixture.classX, d);

describe('fitLogistic', () => {
  it('equals scikit-learn', () => {
    const model = fitLogistic(
      classX,
      fixture.labels.map((label) => label === 1),
      { c: 0.7 },
    );
    model.weights.forEach((w, k) => {
      closeTo(w, fixture.logistic.weights[k]!);
    });
    closeTo(model.intercept, fixture.logistic.intercept);
  });

  it.each([397, 398, 399, 400])('the gradient vanishes at the optimum of %d samples', (n) => {
    const x = matrix(fixture.classX.slice(0, n * d), d);
    const y = fixture.labels.slice(0, n).map((label) => (label === 2 ? 1 : 0));
    const { weights, intercept } = fitLogistic(x, y, { c: 2 });
    const gradient = [...weights, 0];
    for (let s = 0; s < n; s++) {
      const row = fixture.classX.slice(s * d, (s + 1) * d);
      const z = row.reduce((sum, value, k) => sum + value * weights[k]!, intercept);
      const residual = 2 * (1 / (1 + Math.exp(-z)) - y[s]!);
      row.forEach((value, k) => {
        gradient[k]! += residual * value;
      });
      gradient[d]! += residual;
    }
    for (const g of gradient) expect(Math.abs(g)).toBeLessThan(1e-5);
  });

  it('converges on separable data (the penalty keeps it finite) and refuses a single class', () => {
    const x = matrix([-2, -1, 1, 2], 1);
    const { weights, intercept } = fitLogistic(x, [0, 0, 1, 1], { c: 1000 });
    expect(weights[0]).toBeGreaterThan(1);
    expect(intercept).toBeCloseTo(0, 6);
    expect(() => fitLogistic(x, [1, 1, 1, 1])).toThrow(/4 of 4 samples are positive/);
  });
});

it('fitSparseLogistic equals scikit-learn with an L1 penalty', () => {
  const { weights, intercept } = fitSparseLogistic(matrix(fixture.f, n), fixture.l1.labels, {
    l1: 0.004,
    tolerance: 1e-9,
    maxIterations: 20000,
  });
  weights.forEach((w, k) => {
    closeTo(w, fixture.l1.weights[k]!);
  });
  closeTo(intercept, fixture.l1.intercept);
});

it('sparseProbing equals scikit-learn on the same tasks', () => {
  const result = sparseProbing({
    x: classX,
    active: activeRows(matrix(fixture.g, n)),
    labels: fixture.labels,
    nLabels: fixture.l,
  });
  expect(result.perLabel.map(({ label, accuracy, dense }) => ({ label, accuracy, dense }))).toEqual(
    fixture.probing.map(({ label, accuracy, dense }) => ({ label, accuracy, dense })),
  );
  expect(result.accuracy.map(({ k }) => k)).toEqual([1, 2, 5]);
});

describe('absorption', () => {
  const options = {
    probe: fixture.absorption.probe,
    mainLatents: fixture.absorption.main,
    decoder: matrix(fixture.decoder, d),
    x: matrix(fixture.x, d),
  };

  it("equals a transcription of SAEBench's rules", () => {
    const result = absorption({ ...options, active: activeRows(matrix(fixture.f, n)) });
    closeTo(result.full, fixture.absorption.full);
    closeTo(result.fraction, fixture.absorption.fraction);
    const absorbed = result.absorbers.reduce((sum, a) => sum + a.tokens, 0);
    expect(absorbed / result.samples).toBeCloseTo(result.full, 12);
  });

  it('refuses a decoder of another width', () => {
    expect(() => absorption({ ...options, probe: [1, 2], active: activeRows(matrix(fixture.f, n)) })).toThrow(
      /decoder: rows are 5 wide, expected 2/,
    );
  });
});

describe('labelAbsorption', () => {
  // Label 1 has direction e0; latent 0 stands for it, but on a third of its tokens latent 1 (e0 + e1) fires in its place.
  const samples = 600;
  const noise = (s: number, k: number) => 0.05 * Math.sin(12.9898 * s + 78.233 * k);
  const x = new Float64Array(samples * 3);
  const f = new Float64Array(samples * 3);
  const labels = new Int32Array(samples);
  for (let s = 0; s < samples; s++) {
    const labelled = s % 2 === 0;
    const special = labelled && s % 3 === 0;
    labels[s] = labelled ? 1 : 0;
    x.set(
      [(labelled ? 1 : 0) + noise(s, 0), (special ? 1 : 0) + noise(s, 1), (labelled ? 0 : 1) + noise(s, 2)],
      3 * s,
    );
    f.set([labelled && !special ? 1 : 0, special ? 1 : 0, labelled ? 0 : 1], 3 * s);
  }
  const sample = { x: matrix(x, 3), active: activeRows(matrix(f, 3)), labels, nLabels: 2 };
  const decoder = matrix([1, 0, 0, 1, 1, 0, 0, 0, 1], 3);

  it('finds the absorbed third when the split is not counted as one', () => {
    const result = labelAbsorption({ sample, decoder, splitGain: 0.5 });
    const label = result.labels.find((l) => l.label === 1);
    expect(label?.latents).toEqual([0]);
    expect(label?.probeF1).toBe(1);
    expect(label?.full).toBeCloseTo(1 / 3, 2);
    expect(label?.absorbers[0]?.latent).toBe(1);
  });

  it('calls it a split otherwise', () => {
    const label = labelAbsorption({ sample, decoder }).labels.find((l) => l.label === 1);
    expect(label?.latents).toEqual([0, 1]);
    expect(label?.full).toBe(0);
  });

  it('leaves labels out whose probe is too weak', () => {
    const shuffled = labels.map((_, s) => (Math.floor(s / 2) * 7) % 2);
    const result = labelAbsorption({ sample: { ...sample, labels: shuffled }, decoder, minProbeF1: 0.9 });
    expect(result.labels).toEqual([]);
    expect(result.unprobed).toBe(2);
    expect(result.full).toBeNaN();
  });
});

it('fitLogistic with more features than are factorised (conjugate gradients) finds the same optimum', () => {
  const [n, wide] = [60, 401];
  const noise = (at: number) => Math.sin(78.233 * at + 12.9898) * 0.5;
  const x = Float64Array.from({ length: n * wide }, (_, at) => noise(at));
  const y = Array.from({ length: n }, (_, s) => (x[s * wide]! + x[s * wide + 1]! > 0 ? 1 : 0));
  const { weights, intercept } = fitLogistic(matrix(x, wide), y);
  const gradient = Float64Array.from([...weights, 0]);
  for (let s = 0; s < n; s++) {
    let z = intercept;
    for (let k = 0; k < wide; k++) z += x[s * wide + k]! * weights[k]!;
    const residual = 1 / (1 + Math.exp(-z)) - y[s]!;
    for (let k = 0; k < wide; k++) gradient[k]! += residual * x[s * wide + k]!;
    gradient[wide]! += residual;
  }
  for (const g of gradient) expect(Math.abs(g)).toBeLessThan(1e-5);
});
