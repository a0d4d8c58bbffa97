import { describe, expect, it } from 'vitest';
import { createRng, type RngState } from '../src/index.ts';
import { chiSquareScore } from './chiSquare.ts';

describe('createRng', () => {
  it('goes on from a saved state, through JSON', () => {
    const rng = createRng(42);
    for (let i = 0; i < 10; i++) rng.normal();
    const state = JSON.parse(JSON.stringify(rng.state())) as RngState;
    const expected = [rng.next(), rng.int(1000), rng.normal()];
    const again = createRng(state);
    expect([again.next(), again.int(1000), again.normal()]).toEqual(expected);
  });

  it('is the same stream for ever: a change here breaks every saved run', () => {
    const rng = createRng(0);
    expect([rng.int(2 ** 32), rng.int(2 ** 32), rng.int(2 ** 32)]).toMatchInlineSnapshot(`
      [
        148832690,
        952798385,
        2837052065,
      ]
    `);
  });

  it('neighbouring seeds are unrelated, large and negative ones too', () => {
    const seeds = [0, 1, 2, -1, 2 ** 32, 2 ** 32 + 1, -(2 ** 40), 2 ** 53 - 1];
    const firsts = seeds.map((seed) => createRng(seed).next());
    expect(new Set(firsts).size).toBe(seeds.length);
    const means = Array.from({ length: 2000 }, (_, seed) => createRng(seed).next());
    expect(Math.abs(means.reduce((a, b) => a + b) / 2000 - 0.5)).toBeLessThan(0.03);
  });

  it('next is uniform and normal is normal (χ²)', () => {
    const rng = createRng(7);
    const [n, cells] = [100_000, 50];
    const uniform = new Array<number>(cells).fill(0);
    const normal = new Array<number>(5).fill(0);
    const edges = [-1.5, -0.5, 0.5, 1.5];
    for (let i = 0; i < n; i++) {
      uniform[Math.floor(rng.next() * cells)]!++;
      const z = rng.normal();
      normal[edges.filter((edge) => z > edge).length]!++;
    }
    expect(
      chiSquareScore(
        uniform,
        uniform.map(() => n / cells),
      ),
    ).toBeLessThan(4);
    const probabilities = [0.0668072, 0.2417303, 0.382925, 0.2417303, 0.0668072];
    expect(
      chiSquareScore(
        normal,
        probabilities.map((p) => p * n),
      ),
    ).toBeLessThan(4);
  });

  it.each([
    [0.5, 'a seed must be an integer'],
    [Number.NaN, 'got NaN'],
    [[1, 2, 3] as unknown as RngState, 'four 32-bit integers'],
    [[0, 0, 0, 0] as RngState, 'not all zero'],
    [[1, 2, 3, 2 ** 40] as RngState, 'four 32-bit integers'],
  ])('refuses %o', (seed, message) => {
    expect(() => createRng(seed)).toThrow(message);
  });

  it('refuses int(0)', () => {
    expect(() => createRng(0).int(0)).toThrow('n must be an integer of at least 1, got 0');
  });
});
