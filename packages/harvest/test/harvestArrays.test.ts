import { encodeNpy, readNpy } from '@msae/data';
import { expect, it } from 'vitest';
import { truthOf } from '../../../tools/onnx-matrix/truth.ts';
import { arraysOf, harvestArrays, type InputArray } from '../src/index.ts';
import { brownLm, collect, distance, open, path } from './helpers.ts';

const vit = path('fixtures/matrix/vit');
const truth = truthOf(vit);
const { shape } = truth.values.pixel_values!;
const pixels = { data: truth.read('pixel_values'), shape };
const taps = ['blocks.0.resid_pre', 'blocks.2.attn_out', 'blocks.2.resid_post'];

it('gives a row for every patch of every picture, PyTorch’s', async () => {
  const { model } = await open(`${vit}/fp16/model.onnx`);
  for (const batchSize of [1, 2]) {
    const batches = await collect(harvestArrays(model, arraysOf(pixels), { taps, batchSize }));
    expect(batches).toHaveLength(2 / batchSize);
    expect(batches.reduce((sum, batch) => sum + batch.rows, 0)).toBe(2 * 17);
    expect(batches.flatMap(({ positions }) => [...positions])).toEqual(
      [...Array(34).keys()].map((i) => i % 17),
    );
    expect(batches.flatMap(({ docIds }) => [...docIds])).toEqual(
      [...Array(34).keys()].map((i) => (i < 17 ? 0 : 1)),
    );
    expect(batches.at(-1)!.firstRow).toBe(34 - batches.at(-1)!.rows);
    taps.forEach((tap, i) => {
      const data = batches.flatMap(({ activations }) => [...activations[i]!.data]);
      const wanted = truth.read(tap);
      const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(distance(data, wanted) / scale, tap).toBeLessThan(5e-3); // float16 weights
    });
  }
});

it('takes what npy files hold', async () => {
  const { model } = await open(`${vit}/fp16/model.onnx`);
  const array = await readNpy(encodeNpy(pixels.data, shape));
  const [batch] = await collect(
    harvestArrays(model, arraysOf(array as typeof pixels), { taps: [taps[2]!], maxArrays: 1 }),
  );
  expect(batch!.rows).toBe(17);
});

it('says what does not fit', async () => {
  const { model } = await open(`${vit}/fp16/model.onnx`);
  const run = (arrays: Iterable<InputArray>, options: object = {}) =>
    collect(harvestArrays(model, arrays, { taps: [taps[0]!], ...options }));
  await expect(run([pixels])).rejects.toThrow('an array [2, 3, 32, 32] of 6144 values; pixel_values takes');
  await expect(run(arraysOf(pixels), { input: 'sound' })).rejects.toThrow('the taps need no input sound');
  await expect(run(arraysOf(pixels), { taps: ['logits'] })).rejects.toThrow('expected one row a position');
  await expect(run(arraysOf({ data: pixels.data, shape: [5, 3] }))).rejects.toThrow(
    '6144 values of shape [5, 3]',
  );
  const text = (await open(brownLm)).model;
  await expect(
    collect(harvestArrays(text, arraysOf(pixels), { taps: ['blocks.0.resid_pre'] })),
  ).rejects.toThrow('cannot feed arrays to its input');
});
