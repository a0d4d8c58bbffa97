/** Every stock op that msae calls, on the emulated device against tfjs's cpu backend. */
import '@tensorflow/tfjs-backend-cpu';
import { worstError } from '@msae/core/testing';
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cudaMemory, useCuda } from '../src/index.ts';
import { useEmulator } from './emulator.ts';

type Make = (shape: number[], seed?: number) => tf.Tensor;

const floats: Make = (shape, seed = 1) => {
  const rng = createRng(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => 2 * rng.normal()),
    shape,
  );
};
const positive: Make = (shape, seed) => tf.add(tf.abs(floats(shape, seed)), 0.1);
const ints: Make = (shape, seed) => tf.cast(tf.mul(floats(shape, seed), 3), 'int32');
const bools: Make = (shape, seed) => tf.greater(floats(shape, seed), 0);

/** tfjs by the name of an op. */
const api = tf as unknown as Record<string, (...tensors: tf.Tensor[]) => tf.Tensor>;

const unary = [
  'abs',
  'neg',
  'sign',
  'square',
  'relu',
  'exp',
  'tanh',
  'sigmoid',
  'floor',
  'ceil',
  'round',
] as const;
const positiveUnary = ['sqrt', 'rsqrt', 'log', 'log1p', 'reciprocal'] as const;
const moreUnary = [
  'step',
  'expm1',
  'softplus',
  'sin',
  'cos',
  'erf',
  'elu',
  'selu',
  'leakyRelu',
  'relu6',
] as const;
const binary = [
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
  'squaredDifference',
  'mod',
  'floorDiv',
] as const;
const comparisons = ['equal', 'notEqual', 'greater', 'greaterEqual', 'less', 'lessEqual'] as const;
const shapes: [number[], number[]][] = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [
    [3, 1],
    [1, 4],
  ],
  [
    [2, 3, 4],
    [3, 1],
  ],
  [[], [5]],
  [
    [2, 1, 3, 1, 2],
    [4, 1, 5, 1],
  ],
];

/** Each is run on both backends; what it returns is compared. */
const programs: Record<string, () => tf.Tensor | tf.Tensor[]> = {
  ...Object.fromEntries(unary.map((op) => [op, () => api[op]!(floats([5, 7]))])),
  ...Object.fromEntries(moreUnary.map((op) => [op, () => api[op]!(floats([5, 7]))])),
  ...Object.fromEntries(positiveUnary.map((op) => [op, () => api[op]!(positive([300]))])),
  ...Object.fromEntries(
    [...binary, ...comparisons].flatMap((op) =>
      shapes.map(([a, b]) => [`${op} [${a}] [${b}]`, () => api[op]!(floats(a), positive(b, 2))]),
    ),
  ),
  ...Object.fromEntries(
    (['add', 'sub', 'mul', 'maximum', 'minimum', 'mod', 'floorDiv', ...comparisons] as const).map((op) => [
      `${op} of integers`,
      () => api[op]!(ints([4, 3]), tf.add(tf.abs(ints([3], 2)), tf.scalar(1, 'int32'))),
    ]),
  ),
  'a number as an operand': () => [tf.mul(floats([6]), 3), tf.sub(2, floats([6])), tf.div(floats([4]), 0.3)],
  pow: () => tf.pow(positive([9]), floats([9], 3)),
  prelu: () => tf.prelu(floats([3, 4]), positive([4], 2)),
  divNoNan: () => tf.divNoNan(floats([4]), tf.tensor1d([1, 0, 2, 0])),
  clip: () => [tf.clipByValue(floats([30]), -1, 0.5), tf.clipByValue(ints([30]), -2, 3)],
  logical: () => [
    tf.logicalAnd(bools([4, 5]), bools([5], 2)),
    tf.logicalOr(bools([4, 5]), bools([5], 2)),
    tf.logicalXor(bools([9]), bools([9], 3)),
    tf.logicalNot(bools([9])),
  ],
  'tests for numbers': () => {
    const odd = tf.tensor1d([1, Number.NaN, Number.POSITIVE_INFINITY, -0]);
    return [tf.isNaN(odd), tf.isInf(odd), tf.isFinite(odd), tf.relu(odd), tf.maximum(odd, 0), tf.sign(odd)];
  },
  cast: () => [
    tf.cast(floats([20]), 'int32'),
    tf.cast(floats([20]), 'bool'),
    tf.cast(ints([20]), 'float32'),
    tf.cast(ints([20]), 'bool'),
    tf.cast(bools([20]), 'int32'),
    tf.cast(bools([20]), 'float32'),
  ],
  where: () => [
    tf.where(bools([4, 5]), floats([4, 5]), floats([4, 5], 2)),
    tf.where(bools([4, 1]), floats([4, 5]), tf.scalar(1)),
    tf.where(bools([5]), ints([5]), ints([5], 2)),
  ],
  addN: () => tf.addN([floats([3, 2]), floats([3, 2], 2), floats([3, 2], 3)]),
  'fill and likes': () => [
    tf.fill([2, 3], 1.5),
    tf.fill([4], 7, 'int32'),
    tf.zerosLike(ints([3])),
    tf.onesLike(floats([3, 2])),
    tf.zeros([0, 3]),
    tf.range(0, 10, 3, 'int32'),
    tf.range(5, 0, -1.5),
  ],
  slice: () => [
    tf.slice(floats([5, 6, 4]), [1, 2, 0], [3, -1, 2]),
    tf.slice(floats([9]), 4),
    tf.slice(floats([5, 6]), [2, 0], [2, 6]),
    tf.stridedSlice(floats([8, 6]), [7, 1], [0, 6], [-2, 2]),
    tf.slice(bools([4, 3]), [1, 0], [2, 2]),
  ],
  concat: () => [
    tf.concat([floats([2, 3]), floats([4, 3], 2)], 0),
    tf.concat([floats([2, 3]), floats([2, 1], 2), floats([2, 4], 3)], 1),
    tf.concat([ints([2, 2, 2]), ints([2, 2, 3], 2)], -1),
    tf.stack([floats([2, 3]), floats([2, 3], 2)], 1),
    tf.stack([floats([2]), floats([2], 2)]),
    ...tf.unstack(floats([2, 3, 2]), 1),
    ...tf.split(floats([6, 4]), [1, 3, 2], 0),
    ...tf.split(floats([2, 6]), 3, 1),
  ],
  transpose: () => [
    tf.transpose(floats([5, 7])),
    tf.transpose(floats([40, 70])),
    tf.transpose(floats([2, 3, 4]), [2, 0, 1]),
    tf.transpose(floats([2, 35, 33]), [0, 2, 1]),
    tf.transpose(floats([2, 3, 4, 5]), [3, 1, 0, 2]),
  ],
  tile: () => [
    tf.tile(floats([2, 3]), [3, 2]),
    tf.tile(floats([4]), [5]),
    tf.tile(floats([2, 1, 3]), [1, 4, 1]),
  ],
  'broadcastTo, reverse, pad, expandDims, reshape': () => [
    tf.broadcastTo(floats([3, 1]), [2, 3, 4]),
    tf.reverse(floats([3, 4]), 1),
    tf.reverse(floats([3, 4])),
    tf.pad(
      floats([2, 3]),
      [
        [1, 2],
        [0, 3],
      ],
      9,
    ),
    tf.expandDims(floats([2, 3]), 1),
    tf.reshape(floats([2, 6]), [3, -1]),
  ],
  gather: () => [
    tf.gather(floats([7, 3]), tf.tensor1d([6, 0, 3], 'int32')),
    tf.gather(floats([2, 7, 3]), tf.tensor1d([6, 0, 3, 3], 'int32'), 1),
    tf.gather(
      floats([5]),
      tf.tensor2d(
        [
          [4, 0],
          [2, 2],
        ],
        [2, 2],
        'int32',
      ),
    ),
    tf.gather(floats([3, 4]), tf.tensor2d([[3], [0], [1]], [3, 1], 'int32'), 1, 1),
    tf.gatherND(
      floats([4, 5, 2]),
      tf.tensor2d(
        [
          [3, 4],
          [0, 1],
        ],
        [2, 2],
        'int32',
      ),
    ),
  ],
  'oneHot and cumsum': () => [
    tf.oneHot(tf.tensor1d([0, 3, 1], 'int32'), 4),
    tf.oneHot(tf.tensor2d([[2], [9]], [2, 1], 'int32'), 3, 5, -1),
    tf.cumsum(floats([3, 70]), 1),
    tf.cumsum(floats([5, 3]), 0, true),
    tf.cumsum(floats([5, 40]), 1, false, true),
    tf.cumsum(ints([9]), 0, true, true),
  ],
  sums: () => [
    tf.sum(floats([30, 7])),
    tf.sum(floats([30, 7]), 0),
    tf.sum(floats([30, 7]), 1),
    tf.sum(floats([3, 4, 5]), [0, 2]),
    tf.sum(floats([3, 4, 5]), 1, true),
    tf.sum(ints([40])),
    tf.sum(bools([40])),
    tf.mean(floats([6, 5]), 0),
    tf.mean(floats([6, 5])),
    tf.sum(floats([9000])),
    tf.sum(floats([3, 0]), 1),
    tf.norm(floats([4, 9]), 2, 1, true),
  ],
  extremes: () => [
    tf.max(floats([30, 7]), 0),
    tf.min(floats([30, 7]), 1),
    tf.max(ints([11])),
    tf.prod(floats([2, 5]), 1),
    tf.any(bools([4, 3]), 1),
    tf.all(bools([4, 3]), 0),
    tf.argMax(floats([6, 9]), 1),
    tf.argMin(floats([6, 9]), 0),
    tf.argMax(tf.tensor1d([1, 5, 5, 2])),
    tf.logSumExp(floats([5, 6]), 1),
  ],
  topk: () => [
    ...Object.values(tf.topk(floats([4, 100]), 7)),
    ...Object.values(tf.topk(floats([3000]), 2500)),
    ...Object.values(
      tf.topk(
        tf.tensor2d([
          [1, 3, 3, 2, 3],
          [-1, -5, -1, -1, 0],
        ]),
        3,
      ),
    ),
    ...Object.values(tf.topk(ints([3, 20]), 20)),
    ...Object.values(tf.topk(floats([2, 5]), 1)),
  ],
  scatter: () => [
    tf.scatterND(tf.tensor2d([[4], [0], [4]], [3, 1], 'int32'), floats([3, 2]), [6, 2]),
    tf.scatterND(
      tf.tensor2d(
        [
          [1, 2],
          [0, 0],
        ],
        [2, 2],
        'int32',
      ),
      floats([2]),
      [2, 3],
    ),
    tf.scatterND(tf.tensor2d([[1], [1]], [2, 1], 'int32'), tf.tensor1d([3, 4], 'int32'), [2]),
    tf.unsortedSegmentSum(
      floats([50, 3]),
      tf.tensor1d(
        Array.from({ length: 50 }, (_, i) => (i * 7) % 11),
        'int32',
      ),
      12,
    ),
  ],
  matMul: () => [
    tf.matMul(floats([5, 7]) as tf.Tensor2D, floats([7, 3], 2) as tf.Tensor2D),
    tf.matMul(floats([7, 5]), floats([7, 3], 2), true, false),
    tf.matMul(floats([5, 7]), floats([3, 7], 2), false, true),
    tf.matMul(floats([7, 5]), floats([3, 7], 2), true, true),
    tf.matMul(floats([4, 5, 7]), floats([4, 7, 3], 2)),
    tf.matMul(floats([4, 5, 7]), floats([1, 7, 3], 2)),
    tf.fused.matMul({ a: floats([5, 7]), b: floats([7, 3], 2), bias: floats([3], 3), activation: 'relu' }),
    tf.dot(floats([5]), floats([5], 2)),
  ],
  'in place': () => {
    const variable = tf.variable(floats([4]));
    const copy = tf.add(variable, 0);
    variable.assign(tf.ones([4]));
    return [copy, variable];
  },
};

describe.skipIf(!useEmulator())('ops, emulated', () => {
  beforeAll(async () => {
    await useCuda();
  });
  afterEach(() => tf.setBackend('cuda'));

  it.each(Object.keys(programs))('%s', async (name) => {
    const run = async (backend: string): Promise<{ shape: number[]; dtype: string; values: number[] }[]> => {
      await tf.setBackend(backend);
      const before = tf.memory().numTensors;
      const used = backend === 'cuda' ? cudaMemory().usedBytes : 0;
      const results = tf.tidy(() => [programs[name]!()].flat());
      const out = results.map((t) => ({ shape: t.shape, dtype: t.dtype, values: Array.from(t.dataSync()) }));
      tf.dispose(results);
      expect(tf.memory().numTensors).toBe(before);
      if (backend === 'cuda') expect(cudaMemory().usedBytes).toBe(used);
      return out;
    };
    const actual = await run('cuda');
    const expected = await run('cpu');
    expect(actual.map((t) => [t.shape, t.dtype])).toEqual(expected.map((t) => [t.shape, t.dtype]));
    for (const [i, { values }] of actual.entries()) {
      const bits = (list: number[]): unknown[] => list.map((v) => (Number.isFinite(v) ? 0 : v));
      expect(bits(values)).toEqual(bits(expected[i]!.values));
      const finite = (list: number[]): number[] => list.filter(Number.isFinite);
      expect(worstError(finite(values), finite(expected[i]!.values)), `result ${i}`).toBeLessThan(2e-6);
    }
  });

  it('reads without blocking, and a bool as bytes', async () => {
    const x = tf.tensor1d([1, -2, 3]);
    const positives = tf.greater(x, 0);
    expect(await tf.square(x).data()).toEqual(Float32Array.of(1, 4, 9));
    expect(await positives.data()).toEqual(Uint8Array.of(1, 0, 1));
    tf.dispose([x, positives]);
  });

  it('moves tensors from and to another backend', async () => {
    await tf.setBackend('cpu');
    const x = tf.tensor1d([1, 2]);
    await tf.setBackend('cuda');
    const y = tf.add(x, 1);
    await tf.setBackend('cpu');
    expect(Array.from(await tf.mul(y, 2).data())).toEqual([4, 6]);
  });

  it('says that complex numbers are missing', () => {
    expect(() => tf.complex([1], [2])).toThrow(/Complex/);
  });
});
