import { inflateSync } from 'node:zlib';
import { relu, type Sae, type SaeWeights, saeFromWeights } from '@msae/core';
import { toyTree } from '@msae/data';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluateToy, isExact, summarizeToy, type ToyResult, toySvg, trainToy } from '../src/index.ts';
import { toyPng } from '../src/node.ts';
import { encodePng } from '../src/toy/png.ts';

beforeAll(() => tf.setBackend('cpu'));

type Arrays = { [name in keyof Omit<SaeWeights, 'threshold'>]: Float32Array };

/** The true features in reverse order: x · feature / ‖feature‖² recovers an activation, since features are orthogonal. */
function perfectWeights(source: ReturnType<typeof toyTree>): Arrays {
  const [d, n] = [source.width, source.nFeatures];
  const W_enc = new Float32Array(d * n);
  const W_dec = new Float32Array(n * d);
  for (let i = 0; i < n; i++) {
    const feature = source.features.subarray((n - 1 - i) * d, (n - i) * d);
    const squares = feature.reduce((sum, value) => sum + value * value, 0);
    for (let k = 0; k < d; k++) {
      W_dec[i * d + k] = feature[k]!;
      W_enc[k * n + i] = feature[k]! / squares;
    }
  }
  return { W_enc, W_dec, b_enc: new Float32Array(n).fill(-1e-3), b_dec: new Float32Array(d) };
}

const saeOf = (weights: Arrays): Sae =>
  saeFromWeights({ dModel: 20, nLatents: 20, activation: relu() }, weights);

describe('the measures of the toy', () => {
  it('are perfect for the true features', async () => {
    const source = toyTree({ seed: 3 });
    const { scores, pictures } = await evaluateToy(saeOf(perfectWeights(source)), source, 4000);
    expect(scores.cosine.min).toBeGreaterThan(0.99999);
    expect(scores.f1).toEqual({ mean: 1, min: 1 });
    expect(scores.fvu).toBeLessThan(1e-5);
    expect(scores.l0).toBeCloseTo(scores.trueL0, 10);
    expect(Math.abs(scores.trueL0 - 1.12)).toBeLessThan(0.06); // 3 · .15 · 1.6 + 8 · .05
    expect(scores.absorption).toBe(0);
    expect(scores.childParent.maxAbsolute).toBeLessThan(1e-5);
    expect(isExact(scores)).toBe(true);
    for (let i = 0; i < 20; i++) expect(pictures.decoder[i * 20 + i]).toBeCloseTo(1, 5);
    expect([...pictures.latents]).toEqual([...pictures.truth].map((v) => expect.closeTo(v, 2)));
  });

  it('see absorption: children that say their parent too, and a parent silent with them', async () => {
    const source = toyTree({ seed: 4 });
    const weights = perfectWeights(source);
    const { W_dec, W_enc, b_enc } = weights;
    const at = (feature: number): number => 19 - feature;
    for (const parent of [0, 4, 8]) {
      for (let child = parent + 1; child <= parent + 3; child++) {
        for (let k = 0; k < 20; k++) {
          W_dec[at(child) * 20 + k]! += W_dec[at(parent) * 20 + k]!;
          W_enc[k * 20 + at(parent)]! -= 2 * W_enc[k * 20 + at(child)]!;
        }
      }
    }
    expect(b_enc[0]).toBeLessThan(0);
    const { scores } = await evaluateToy(saeOf(weights), source, 4000);
    expect(scores.absorption).toBe(1);
    expect(scores.cosine.parents).toBeGreaterThan(0.9999);
    expect(scores.cosine.children).toBeCloseTo(Math.SQRT1_2, 1);
    expect(scores.childParent.mean).toBeCloseTo(Math.SQRT1_2, 1);
    expect(isExact(scores)).toBe(false);
  });

  it('are averaged by preset, the least kept as the least', async () => {
    const source = toyTree({ seed: 3 });
    const { scores } = await evaluateToy(saeOf(perfectWeights(source)), source, 1000);
    const worse = { ...scores, cosine: { ...scores.cosine, mean: 0.9, min: 0.2 } };
    const run = (seed: number, of: typeof scores): ToyResult => ({
      preset: 'best',
      seed,
      steps: 1,
      seconds: 1,
      stepsPerSecond: seed + 1,
      scores: of,
      exact: isExact(of),
    });
    const [summary] = summarizeToy([run(0, scores), run(1, worse)]);
    expect(summary).toMatchObject({ seeds: 2, exact: 1, good: 1, stepsPerSecond: 1.5 });
    expect(summary?.scores.cosine.mean).toBeCloseTo(0.95, 4);
    expect(summary?.scores.cosine.min).toBe(0.2);
  });
});

describe('pictures', () => {
  it('a PNG holds the pixels', async () => {
    const pixels = Uint8Array.from({ length: 3 * 2 * 3 }, (_, i) => i * 7);
    const png = Buffer.from(encodePng(pixels, 3, 2));
    expect(png.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([3, 2]);
    const at = png.indexOf('IDAT');
    const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
    expect([...rows.subarray(1, 10), ...rows.subarray(11)]).toEqual([...pixels]);
  });

  it('SVG and PNG of a run have the same size', async () => {
    const source = toyTree({ seed: 3 });
    const { pictures } = await evaluateToy(saeOf(perfectWeights(source)), source, 1000);
    const svg = toySvg(pictures, 'a < b');
    expect(svg).toContain('<title>a &lt; b</title>');
    const png = Buffer.from(toyPng(pictures));
    expect(svg).toContain(`width="${png.readUInt32BE(16)}" height="${png.readUInt32BE(20)}"`);
  });
});

describe('the experiment', () => {
  it('the recovering recipe does better than vanilla, and what was trained applies to raw activations', async () => {
    const run = async (preset: 'vanilla' | 'best') => {
      const trained = await trainToy({ preset, seed: 1, steps: 1500 });
      const { scores } = await evaluateToy(trained!.sae, trained!.source);
      trained!.sae.dispose();
      return scores;
    };
    const [vanilla, best] = [await run('vanilla'), await run('best')];
    expect(vanilla.absorption).toBeGreaterThan(0.3);
    expect(best.cosine.mean).toBeGreaterThan(0.99);
    expect(best.fvu).toBeLessThan(0.05);
  });

  it('gives nothing when it is aborted, and leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    const stopped = AbortSignal.abort();
    expect(await trainToy({ preset: 'best', seed: 0, steps: 100, signal: stopped })).toBeNull();
    expect(tf.memory().numTensors).toBe(before);
  });
});
