import * as ort from 'onnxruntime-web/webgpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { openWeights, urlFolder } from '../../src/index.ts';
import { at, bytesOf, differenceOfSteps, expectedOf } from './inBrowser.ts';

const options = { runtime: ort, sessionOptions: { executionProviders: ['webgpu'] } };

beforeAll(() => {
  const wasm = new URL(
    '../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm',
    import.meta.url,
  );
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: wasm.href };
});

/** The GPU's own sines are 3e-4 off here: angles come from tables. */
describe('weights on WebGPU', () => {
  it('computes what transformers computes, from quantised weights', async () => {
    const expected = (await expectedOf('llama-mixed.expected.safetensors'))('logits');
    const model = await openWeights(await bytesOf('llama-mixed.gguf'), options);
    expect(await differenceOfSteps(ort, model, expected.ids, expected.values)).toBeLessThan(1e-5);
  });

  it('computes what transformers computes, from a folder', async () => {
    const expected = (await expectedOf('gemma3/expected.safetensors'))('logits');
    const model = await openWeights(urlFolder(at('gemma3')), options);
    expect(await differenceOfSteps(ort, model, expected.ids, expected.values)).toBeLessThan(1e-5);
  });
});
