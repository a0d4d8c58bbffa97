import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { useWasm } from '../src/index.ts';

describe('slices on wasm', () => {
  beforeAll(async () => {
    await useWasm({ threads: 1 });
  });

  it.each([
    [
      [0, 0],
      [2, 3],
      [0, 1, 2, 3, 4, 5],
    ],
    [
      [1, 0],
      [1, 3],
      [3, 4, 5],
    ],
    [
      [3, 0],
      [1, 3],
      [9, 10, 11],
    ],
    [
      [1, 1],
      [1, 2],
      [4, 5],
    ],
    [
      [0, 1],
      [4, 1],
      [1, 4, 7, 10],
    ],
    [
      [2, 0],
      [-1, -1],
      [6, 7, 8, 9, 10, 11],
    ],
  ])('begin %o size %o', async (begin, size, expected) => {
    for (const dtype of ['float32', 'int32'] as const) {
      const x = tf.tensor2d([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [4, 3], dtype);
      expect(Array.from(await tf.slice(x, begin, size).data())).toEqual(expected);
    }
  });

  it('of a vector and of three axes', async () => {
    const x = tf.range(0, 24);
    expect(Array.from(await tf.slice(x, 5, 3).data())).toEqual([5, 6, 7]);
    const cube = tf.reshape(x, [2, 3, 4]);
    expect(Array.from(await tf.slice(cube, [1, 1, 0], [1, 2, 4]).data())).toEqual([
      16, 17, 18, 19, 20, 21, 22, 23,
    ]);
  });

  it('beyond the end is refused', () => {
    expect(() => tf.slice(tf.zeros([4, 3]), [3, 0], [2, 3])).toThrow();
  });
});
