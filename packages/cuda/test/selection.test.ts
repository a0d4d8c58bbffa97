/** Lists of rows that are hard to select from, against a sort: any row of pre-activations is a row of W_enc, picked by x. */
import { type EncodeActiveAttrs, encodeActiveKernel } from '@msae/core/backend';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { useCuda } from '../src/index.ts';
import { useEmulator } from './emulator.ts';

const rng = createRng(6);
const normal = (): number => rng.normal();

/** Rows by name, of n pre-activations each. */
const rows: Readonly<Record<string, (i: number, n: number) => number>> = {
  'normal numbers': normal,
  'the large ones together, where the sample does not look': (i) => normal() + (i >= 40 && i < 250 ? 40 : 0),
  'the large ones where the sample looks': (i) => normal() + (i % 256 < 32 ? 20 : 0),
  'all negative': () => -Math.abs(normal()) - 0.1,
  'four distinct values': () => [-1, 0, 0.5, 2][Math.floor(rng.next() * 4)]!,
  'all equal': () => 1.5,
  'all zero': () => 0,
  'few positive': (i) => (i % 701 === 3 ? 1 + i : -(normal() ** 2)),
  'one outlier': (i) => (i === 77 ? 1e8 : normal()),
  'neighbours one bit apart': (i) => 1 + (i % 97) * 2 ** -23,
  ascending: (i) => i / 100,
  'tiny numbers': () => normal() * 1e-30,
  'many at the cut': (i, n) => (i < 20 ? 9 - i / 100 : i > n - 40 ? 3 : normal() * 0.1),
};

interface Shape {
  readonly n: number;
  readonly keep: number;
}

/** Latents and values of a row by a stable sort. */
function expected(pre: Float32Array, keep: number, score: EncodeActiveAttrs['score']): [number[], number[]] {
  const size = (i: number): number => (score === 'value' ? pre[i]! : Math.abs(pre[i]!));
  const order = Array.from(pre, (_, i) => i)
    .filter((i) => size(i) > 0)
    .sort((a, b) => size(b) - size(a) || a - b)
    .slice(0, keep)
    .sort((a, b) => a - b);
  return [order, order.map((i) => pre[i]!)];
}

const shapes: readonly Shape[] = [
  { n: 4608, keep: 32 },
  { n: 4609, keep: 5 },
  { n: 8200, keep: 100 },
  { n: 5000, keep: 300 },
  { n: 700, keep: 511 },
];

describe.skipIf(!useEmulator()).each(['tf32', 'float32'] as const)('selection, encoder in %s', (matmul) => {
  it.each(shapes)('the $keep largest of $n', async ({ n, keep }) => {
    await useCuda({ matmul });
    const names = Object.keys(rows);
    const d = names.length;
    const W = Float32Array.from({ length: d * n }, (_, at) => rows[names[Math.floor(at / n)]!]!(at % n, n));
    const inputs = {
      x: tf.tidy(() => tf.eye(d) as tf.Tensor2D),
      W_enc: tf.tensor2d(W, [d, n]),
      b_enc: tf.zeros([n]) as tf.Tensor1D,
    };
    for (const score of ['value', 'magnitude'] as const) {
      const attrs = { rule: 'perRow', score, keep, cutoff: 0, margin: 0, capacity: keep } as const;
      const out = encodeActiveKernel.run(inputs, attrs);
      const [indices, values, counts] = [out.indices, out.values, out.counts].map((t) => t.dataSync());
      for (const [row, name] of names.entries()) {
        const [latents, numbers] = expected(W.subarray(row * n, (row + 1) * n), keep, score);
        const count = counts![row]!;
        expect(count, `${name}, ${score}`).toBe(latents.length);
        const at = row * keep;
        expect(Array.from(indices!.slice(at, at + count)), `${name}, ${score}`).toEqual(latents);
        expect(Array.from(values!.slice(at, at + count)), `${name}, ${score}`).toEqual(numbers);
        expect(indices!.slice(at + count, at + keep).every((i) => i === n)).toBe(true);
      }
      tf.dispose([out.indices, out.values, out.counts]);
    }
    tf.dispose(Object.values(inputs));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'shows a weight of %s',
    async (bad) => {
      await useCuda({ matmul });
      const n = 4608;
      for (const at of [0, 33, 3000, n - 1]) {
        const W = Float32Array.from({ length: 2 * n }, normal);
        W[at] = bad;
        const inputs = {
          x: tf.tensor2d([
            [1, 0],
            [0, 1],
          ]),
          W_enc: tf.tensor2d(W, [2, n]),
          b_enc: tf.zeros([n]) as tf.Tensor1D,
        };
        const attrs = { rule: 'perRow', score: 'value', keep: 4, cutoff: 0, margin: 0, capacity: 4 } as const;
        const out = encodeActiveKernel.run(inputs, attrs);
        expect(Number.isNaN(out.values.dataSync()[0])).toBe(true);
        tf.dispose([...Object.values(inputs), out.indices, out.values, out.counts]);
      }
    },
  );
});
