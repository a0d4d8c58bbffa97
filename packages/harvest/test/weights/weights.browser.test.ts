import { fromUrl } from '@msae/data';
import * as ort from 'onnxruntime-web/wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { openModel, openWeights, urlFolder } from '../../src/index.ts';
import { at, bytesOf, differenceOfSteps, expectedOf } from './inBrowser.ts';

const options = { runtime: ort, sessionOptions: { executionProviders: ['wasm'] } };

beforeAll(() => {
  const wasm = new URL(
    '../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm',
    import.meta.url,
  );
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: wasm.href };
});

describe('weights in a browser, on onnxruntime-web', () => {
  it('opens a GGUF by ranges of a URL, and its bytes', async () => {
    const expected = (await expectedOf('llama-mixed.expected.safetensors'))('logits');
    const model = await openWeights(await fromUrl(at('llama-mixed.gguf')), options);
    expect(await differenceOfSteps(ort, model, expected.ids, expected.values)).toBeLessThan(1e-5);
    const same = await openModel(await bytesOf('llama-mixed.gguf'), options);
    expect(same.fingerprint).toBe(model.fingerprint);
  });

  it('opens K quantisations', async () => {
    const expected = (await expectedOf('llama-k.expected.safetensors'))('logits');
    const model = await openWeights(await bytesOf('llama-k.gguf'), options);
    expect(await differenceOfSteps(ort, model, expected.ids, expected.values)).toBeLessThan(1e-5);
  });

  it.each(['qwen2', 'gemma3', 'gpt2'])('opens the folder of %s at a URL', async (family) => {
    const expected = (await expectedOf(`${family}/expected.safetensors`))('logits');
    const model = await openWeights(urlFolder(at(family)), options);
    expect(await differenceOfSteps(ort, model, expected.ids, expected.values)).toBeLessThan(1e-5);
    await model.close();
  });
});
