import { describe, expect, it } from 'vitest';
import { geometricMedian } from '../src/parts/geometricMedian.ts';

describe('geometricMedian', () => {
  it('is the middle point of an odd number of points on a line', () => {
    const median = geometricMedian(Float32Array.from([0, 0, 1, 1, 2, 2, 3, 3, 1000, 1000]), 2);
    expect(median[0]).toBeCloseTo(2, 4);
    expect(median[1]).toBeCloseTo(2, 4);
  });

  it('is the Fermat point of a triangle: every side seen under 120°', () => {
    const corners = [0, 0, 4, 0, 1, 3];
    const [px, py] = geometricMedian(Float32Array.from(corners), 2, {
      maxIterations: 2000,
      tolerance: 1e-10,
    });
    let x = 0;
    let y = 0;
    for (let i = 0; i < 6; i += 2) {
      const dx = (corners[i] as number) - (px as number);
      const dy = (corners[i + 1] as number) - (py as number);
      x += dx / Math.hypot(dx, dy);
      y += dy / Math.hypot(dx, dy);
    }
    expect(Math.hypot(x, y)).toBeLessThan(1e-4);
  });

  it('survives a point that coincides with the median, and one row', () => {
    expect([...geometricMedian(Float32Array.from([1, 1, 1, 1, 1, 1]), 2)]).toEqual([1, 1]);
    expect([...geometricMedian(Float32Array.from([3, 4]), 2)]).toEqual([3, 4]);
    expect(() => geometricMedian(new Float32Array(0), 2)).toThrow('at least one row');
  });
});
