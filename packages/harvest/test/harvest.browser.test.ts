import { memoryDirectory, openStore, readRows } from '@msae/data';
import * as ort from 'onnxruntime-web/wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluateSplice, harvestToStores, openModel, type TransformerModel } from '../src/index.ts';
import reference from './fixtures/splice.json';

let model: TransformerModel;
const documents = reference.documents.map((ids, id) => ({ id, ids: Int32Array.from(ids) }));
const tap = 'blocks.2.resid_post';

beforeAll(async () => {
  const wasm = new URL('../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm', import.meta.url);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: wasm.href };
  const url = new URL('../../../examples/brown-lm/model/model.onnx', import.meta.url);
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  model = await openModel(bytes, { runtime: ort, sessionOptions: { executionProviders: ['wasm'] } });
});

describe('in a browser, on onnxruntime-web', () => {
  it('finds the same tap points', async () => {
    const points = await model.tapPoints();
    expect(points).toHaveLength(20);
    const point = points.find(({ name }) => name === tap)!;
    expect([point.tensor, point.role, point.layer, point.dtype]).toEqual([tap, 'resid_post', 2, 'float32']);
    expect([point.shape.length, point.shape.at(-1)]).toEqual([3, 128]);
  });

  it('harvests what PyTorch computes', async () => {
    const directory = memoryDirectory();
    const stores = [{ tap, directory }];
    const { rows } = await harvestToStores(model, documents, { stores, origin: 'test', dtype: 'F32' });
    expect(rows).toBe(reference.documents.flat().length);
    const store = await openStore(directory);
    const { data } = await readRows(store, 5, 6);
    reference.streamStart.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, 4);
    });
  });

  it('splices, with the losses that PyTorch gets', async () => {
    const report = await evaluateSplice(model, documents, {
      tap,
      reconstructions: { half: (x) => x.map((value) => value / 2) },
    });
    expect(report.clean).toBeCloseTo(reference.clean, 4);
    expect(report.zeroAblated.crossEntropy).toBeCloseTo(reference.zero.crossEntropy, 4);
    expect(report.reconstructions.half!.kl).toBeCloseTo(reference.half.kl, 4);
  });
});
