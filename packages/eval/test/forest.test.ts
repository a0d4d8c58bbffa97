import { describe, expect, it } from 'vitest';
import { contextCollector } from '../src/contexts.ts';
import { cooccurrenceAccumulator } from '../src/cooccurrence.ts';
import { latentForest } from '../src/forest.ts';
import { activeRows, matrix } from '../src/index.ts';

/** 400 tokens: 0 fires on half; 1 on half of those; 2 on half of those; 3 (rarely) with 0 alone; 4 apart from all. */
function chain(order: number[] = [0, 1, 2, 3, 4]) {
  const f = new Float64Array(400 * 5);
  for (let s = 0; s < 400; s++) {
    const fires = [s % 2 === 0, s % 4 === 0, s % 8 === 0, s % 16 === 2, s % 4 === 1];
    fires.forEach((on, i) => {
      f[s * 5 + order[i]!] = on ? 1 : 0;
    });
  }
  const accumulator = cooccurrenceAccumulator({ nLatents: 5 });
  accumulator.add(activeRows(matrix(f, 5)));
  return accumulator.result();
}

describe('latentForest', () => {
  it('keeps chains as chains: the most specific parent wins', () => {
    const forest = latentForest(chain());
    expect(Array.from(forest.parent)).toEqual([-1, 0, 1, 0, -1]);
    expect(forest.conditional[2]).toBe(1);
    expect(forest.lift[2]).toBe(4);
    expect(forest.roots).toEqual([0]);
    expect(forest).toMatchObject({ depth: 2, edges: 3, inTrees: 4 / 5 });
  });

  it('by index, a general latent that comes later is no parent; by density it is', () => {
    const turned = chain([4, 3, 2, 1, 0]); // the general latent has index 4, its children 3 and 1
    expect(latentForest(turned).edges).toBe(0);
    const byDensity = latentForest(turned, { order: 'density' });
    expect(Array.from(byDensity.parent)).toEqual([-1, 4, 3, 4, -1]);
  });

  it('asks for evidence', () => {
    expect(latentForest(chain(), { minCount: 60 }).edges).toBe(1);
    expect(latentForest(chain(), { minLift: 3 }).edges).toBe(1);
  });
});

describe('contextCollector', () => {
  it('keeps the strongest firings with their windows, within sequences', () => {
    const collector = contextCollector({ nLatents: 2, count: 2, before: 2, after: 1 });
    // two sequences of five tokens; latent 0 fires at rows 1, 2 (stronger) and 5
    const f = [0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    collector.add({
      active: activeRows(matrix(f, 2)),
      tokens: [10, 11, 12, 13, 14, 20, 21, 22, 23, 24],
      positions: [0, 1, 2, 3, 4, 0, 1, 2, 3, 4],
    });
    const contexts = collector.contexts(0);
    expect(contexts.map((c) => c.activation)).toEqual([3, 2]); // of rows 1 and 2, whose windows overlap, the stronger
    expect(contexts[0]).toEqual({
      activation: 3,
      row: 5,
      focus: 0,
      tokens: Int32Array.from([20, 21]),
      activations: Float32Array.from([3, 0]),
    });
    collector.add({ active: activeRows(matrix([0, 0, 0, 0, 0, 0, 2.5, 0], 2)), tokens: [1, 2, 3, 4] });
    expect(collector.contexts(0).map((c) => [c.row, c.focus, [...c.tokens]])).toEqual([
      [5, 0, [20, 21]],
      [13, 2, [2, 3, 4]],
    ]);
    expect(collector.contexts(1).map((c) => c.activation)).toEqual([1]);
  });

  it('shows several tokens, not the strongest one ten times', () => {
    const collector = contextCollector({ nLatents: 1, count: 3, perToken: 2, before: 0, after: 0 });
    collector.add({
      active: activeRows(matrix([9, 7, 8, 1, 6, 2], 1)),
      tokens: [5, 5, 5, 6, 5, 6],
    });
    expect(collector.contexts(0).map((c) => [c.activation, c.tokens[0]])).toEqual([
      [9, 5],
      [8, 5],
      [2, 6],
    ]);
  });

  it('refuses another number of tokens than rows', () => {
    const collector = contextCollector({ nLatents: 2 });
    expect(() => collector.add({ active: activeRows(matrix([1, 0], 2)), tokens: [1, 2] })).toThrow(
      /2 tokens and no positions for 1 rows/,
    );
  });
});
