import { describe, expect, it } from 'vitest';
import { type LabelledSource, synthBench, type TreeNode, toyTree } from '../src/index.ts';
import { defaultTree } from '../src/synthetic/defaultTree.ts';
import { parseTree } from '../src/synthetic/featureTree.ts';
import { normalQuantile } from '../src/synthetic/normalQuantile.ts';
import { errorOf } from './expectError.ts';

/** How often each feature fires in `rows` samples, and both of two. */
function rates(
  source: LabelledSource,
  rows: number,
): { rate: number[]; both: (a: number, b: number) => number } {
  const { activations } = source.sample(rows);
  const n = source.nFeatures;
  const fires = (row: number, f: number): boolean => activations[row * n + f]! > 0;
  const count = (test: (row: number) => boolean): number => {
    let hits = 0;
    for (let row = 0; row < rows; row++) if (test(row)) hits++;
    return hits / rows;
  };
  return {
    rate: Array.from({ length: n }, (_, f) => count((row) => fires(row, f))),
    both: (a, b) => count((row) => fires(row, a) && fires(row, b)),
  };
}

/** Standard deviations of a share of `rows` from `p`. */
const sigmas = (share: number, p: number, rows: number): number =>
  Math.abs(share - p) / Math.sqrt((p * (1 - p)) / rows);

describe('toyTree', () => {
  it('has the write-up’s 20 features at their rates, with mean L0 1.12', () => {
    const toy = toyTree({ seed: 1 });
    expect(toy.nFeatures).toBe(20);
    expect(toy.parentOf).toEqual([-1, 0, 0, 0, -1, 4, 4, 4, -1, 8, 8, 8, ...Array(8).fill(-1)]);
    const rows = 40_000;
    const { rate, both } = rates(toy, rows);
    for (let f = 0; f < 20; f++) {
      const p = f >= 12 ? 0.05 : f % 4 === 0 ? 0.15 : 0.03;
      expect(toy.tree.firingRate[f]).toBeCloseTo(p, 12);
      expect(sigmas(rate[f]!, p, rows)).toBeLessThan(4.5);
    }
    expect(toy.tree.meanL0).toBeCloseTo(1.12, 12);
    expect(both(1, 2)).toBe(0); // siblings exclude one another
    expect(both(5, 4)).toBe(rate[5]); // a child only with its parent
    expect(sigmas(both(0, 12), 0.15 * 0.05, rows)).toBeLessThan(4.5); // trees know nothing of one another
  });

  it('makes x of the activations and orthogonal features of norm about 1', () => {
    const { features, nFeatures, width, sample } = toyTree({ seed: 2, dModel: 24 });
    const dot = (a: number, b: number): number => {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += features[a * width + k]! * features[b * width + k]!;
      return sum;
    };
    const norms = Array.from({ length: nFeatures }, (_, f) => Math.sqrt(dot(f, f)));
    for (let a = 0; a < nFeatures; a++)
      for (let b = 0; b < a; b++) expect(Math.abs(dot(a, b))).toBeLessThan(1e-6);
    expect(Math.min(...norms)).toBeGreaterThan(0.75);
    expect(Math.max(...norms)).toBeLessThan(1.25);
    expect(new Set(norms).size).toBe(nFeatures);
    const { x, activations } = sample(50);
    for (let row = 0; row < 50; row++) {
      for (let k = 0; k < width; k++) {
        let sum = 0;
        for (let f = 0; f < nFeatures; f++)
          sum += activations[row * nFeatures + f]! * features[f * width + k]!;
        expect(Math.abs(x[row * width + k]! - sum)).toBeLessThan(1e-6);
      }
    }
  });

  it('follows the rules on a tree of another shape', () => {
    const tree: TreeNode = {
      active_prob: 0.5, // read out: feature 0
      children: [
        { active_prob: 0.4, is_binary: false, children: [{ active_prob: 0.5 }] },
        {
          active_prob: 1,
          is_read_out: false,
          mutually_exclusive_children: true,
          children: [
            { active_prob: 0.25, children: [{ active_prob: 0.2 }] },
            { active_prob: 0.75, is_read_out: false },
          ],
        },
      ],
    };
    const toy = toyTree({ tree, seed: 3 });
    expect(toy.parentOf).toEqual([-1, 0, 1, 0, 3]); // not through the node that is not read out
    const rows = 40_000;
    const { rate } = rates(toy, rows);
    for (const [f, p] of [0.5, 0.2, 0.1, 0.125, 0.025].entries())
      expect(sigmas(rate[f]!, p, rows)).toBeLessThan(4.5);
    const { activations } = toy.sample(rows);
    const magnitudes = activations.filter((value, i) => i % 5 === 1 && value > 0);
    const mean = magnitudes.reduce((a, b) => a + b) / magnitudes.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4.5 * Math.sqrt(1 / 12 / magnitudes.length));
    expect(Math.max(...magnitudes)).toBeLessThan(1);
  });

  it('gives one stream per seed, however it is cut, and goes on from a position', async () => {
    for (const make of [() => toyTree({ seed: 9 }), () => synthBench({ seed: 9 })]) {
      const whole = make().sample(60).x;
      const other = make();
      const [a, b] = [other.sample(25).x, other.sample(35).x];
      expect([...a, ...b]).toEqual([...whole]);
      const first = make();
      first.sample(25);
      const second = make();
      second.seek(JSON.parse(JSON.stringify(first.position())));
      expect(second.sample(35).x).toEqual(b);
      for await (const batch of make().batches({ batchSize: 60 })) {
        expect(batch.data).toEqual(whole);
        break;
      }
    }
    expect(toyTree({ seed: 1 }).features).not.toEqual(toyTree({ seed: 2 }).features);
    expect((await errorOf(() => toyTree().seek({ kind: 'rows' }))).message).toMatch(
      /of kind rows, expected toy-tree/,
    );
  });

  it('draws 200 samples in under a millisecond', () => {
    const toy = toyTree();
    const times = Array.from({ length: 300 }, () => {
      const start = performance.now();
      toy.sample(200);
      return performance.now() - start;
    });
    expect(times.sort((a, b) => a - b)[150]).toBeLessThan(1); // 0.05 ms on an idle core
  });

  it('says where a tree does not fit the schema', async () => {
    const bad: [unknown, RegExp][] = [
      [null, /^feature tree: expected an object/],
      [{}, /active_prob/],
      [{ active_prob: 1.5 }, /^feature tree: active_prob: .*≤ 1/],
      [
        { active_prob: 1, children: [{ active_prob: 0.1, colour: 1 }] },
        /children\.0: there is no option colour/,
      ],
      [{ active_prob: 1, children: [{ active_prob: 'x' }] }, /children\.0: active_prob: expected a number/],
      [{ active_prob: 1, children: {} }, /children/],
      [
        { active_prob: 1, mutually_exclusive_children: true, children: [{ active_prob: 1 }] },
        /at least 2 children, got 1/,
      ],
      [
        {
          active_prob: 1,
          children: [
            {
              active_prob: 1,
              mutually_exclusive_children: true,
              children: [{ active_prob: 0.2 }, { active_prob: 0.2 }],
            },
          ],
        },
        /children\.0: the active_prob of mutually exclusive children must add up to 1, got 0.4/,
      ],
    ];
    for (const [tree, message] of bad)
      expect((await errorOf(() => parseTree(tree))).message).toMatch(message);
    let deep: TreeNode = { active_prob: 1 };
    for (let i = 0; i < 100_000; i++) deep = { active_prob: 1, children: [deep] };
    expect((await errorOf(() => parseTree(deep))).message).toMatch(/nested deeper than 64/);
    expect((await errorOf(() => toyTree({ dModel: 19 }))).message).toMatch(
      /20 orthogonal features need at least 20/,
    );
    expect((await errorOf(() => toyTree({ tree: { active_prob: 1, is_read_out: false } }))).message).toMatch(
      /no node is read out/,
    );
    expect(parseTree(JSON.parse(JSON.stringify(defaultTree))).nFeatures).toBe(20);
  });
});

describe('synthBench', () => {
  const bench = synthBench({ seed: 4 });
  const rows = 20_000;
  const { rate, both } = rates(bench, rows);

  it('fires by Zipf’s law where nothing competes', () => {
    for (const f of [0, 3, 7, 168, 200, 255]) {
      expect(bench.parentOf[f]).toBe(-1);
      expect(sigmas(rate[f]!, bench.rates[f]!, rows)).toBeLessThan(5);
    }
    const span = (0.4 - 0.004) / (1 - 256 ** -0.5);
    expect(bench.rates[9]).toBeCloseTo(0.004 + span * (10 ** -0.5 - 256 ** -0.5), 10);
  });

  it('keeps children under their parents and siblings apart', () => {
    for (let f = 8; f < 168; f++) {
      const parent = bench.parentOf[f]!;
      expect(parent).toBe(Math.floor((f - 8) / 4)); // four children each, breadth first
      expect(both(f, parent)).toBe(rate[f]);
    }
    expect(both(8, 9) + both(8, 10) + both(40, 41)).toBe(0);
    const free = synthBench({ seed: 4, exclusiveChildren: false });
    expect(rates(free, 4000).both(8, 9)).toBeGreaterThan(0);
  });

  it('correlates the coins of features outside the trees', () => {
    const many = synthBench({
      nFeatures: 30,
      roots: 0,
      rates: [0.3, 0.3001],
      correlationRank: 2,
      correlationScale: 0.6,
      seed: 5,
    });
    const joint = rates(many, 8000);
    const spread = (source: typeof joint): number => {
      let sum = 0;
      for (let f = 1; f < 30; f++)
        sum += ((source.both(0, f) - source.rate[0]! * source.rate[f]!) / 0.21) ** 2;
      return Math.sqrt(sum / 29);
    };
    const alone = rates(
      synthBench({ nFeatures: 30, roots: 0, rates: [0.3, 0.3001], correlationRank: 0, seed: 5 }),
      8000,
    );
    expect(spread(alone)).toBeLessThan(0.02); // 1/sqrt(8000) = .011
    expect(spread(joint)).toBeGreaterThan(0.1);
  });

  it('superposes unit features with magnitudes falling from 5 to 4', () => {
    const { features, nFeatures, width, sample } = bench;
    expect(nFeatures).toBeGreaterThan(width);
    for (let f = 0; f < nFeatures; f++)
      expect(Math.hypot(...features.subarray(f * width, (f + 1) * width))).toBeCloseTo(1, 5);
    const { activations } = sample(rows);
    const mean = (f: number): number => {
      const values = activations.filter((value, i) => i % nFeatures === f && value > 0);
      return values.reduce((a, b) => a + b) / values.length;
    };
    expect(Math.abs(mean(0) - 5)).toBeLessThan(0.1);
    expect(Math.abs(mean(168) - (5 - 168 / 255))).toBeLessThan(0.25);
  });

  it('refuses what cannot be', async () => {
    expect((await errorOf(() => synthBench({ nFeatures: 0 }))).message).toMatch(/^synthBench: nFeatures: /);
    expect((await errorOf(() => synthBench({ depth: -1 }))).message).toMatch(/^synthBench: depth: /);
    expect((await errorOf(() => synthBench({ rates: [0.5, 0.1] }))).message).toMatch(/^synthBench: rates: /);
  });

  it('knows the quantiles of the normal distribution', () => {
    // to 6 decimals, from tables
    for (const [p, z] of [
      [0.5, 0],
      [0.975, 1.959964],
      [0.001, -3.090232],
      [0.8413447, 1],
      [1e-6, -4.753424],
    ] as const) {
      expect(normalQuantile(p)).toBeCloseTo(z, 5);
    }
    expect(normalQuantile(1)).toBe(Infinity);
  });
});
