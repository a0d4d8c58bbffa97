import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contextBatches } from '../src/contexts.ts';
import { type FeedPlan, feedPlan } from '../src/feeds.ts';
import { openModel } from '../src/index.ts';
import { openModelFile } from '../src/node/index.ts';
import { collect, documents, path } from './helpers.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'msae-open-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const genai = path('fixtures/matrix/llama/genai-int4');
const open = (source: string, options: object = {}) => openModelFile(source, { threads: 1, ...options });

describe('the fingerprint of a model', () => {
  it('covers its external data: size and content', async () => {
    const at = join(folder, 'external');
    await mkdir(at);
    for (const file of ['model.onnx', 'model.onnx.data']) await copyFile(join(genai, file), join(at, file));
    const print = async () => (await open(at, { probe: false })).model.fingerprint;
    const before = await print();
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    expect(await print()).toBe(before);
    const data = await readFile(join(at, 'model.onnx.data'));
    data[data.length - 1] = data.at(-1)! ^ 1;
    await writeFile(join(at, 'model.onnx.data'), data);
    const changed = await print();
    expect(changed).not.toBe(before);
    data[data.length - 1] = data.at(-1)! ^ 1;
    await writeFile(join(at, 'model.onnx.data'), data);
    expect(await print()).toBe(before);
    await appendFile(join(at, 'model.onnx.data'), Buffer.alloc(1));
    expect(await print()).not.toBe(before);
  });

  it('is the same where the files are given as bytes', async () => {
    const [bytes, data] = await Promise.all([
      readFile(join(genai, 'model.onnx')),
      readFile(join(genai, 'model.onnx.data')),
    ]);
    const given = await openModel(bytes, {
      runtime: ort,
      sessionOptions: { externalData: [{ path: 'model.onnx.data', data: new Uint8Array(data) }] },
    });
    const { model } = await open(genai);
    expect(given.fingerprint).toBe(model.fingerprint);
    expect(given.parts).toEqual(model.parts);
  });

  it('of a file without external data is its SHA-256', async () => {
    const file = path('fixtures/pre-gelu-dynamo.onnx');
    const { createHash } = await import('node:crypto');
    const hash = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    expect((await open(file)).model.fingerprint).toBe(hash);
  });
});

describe('a folder of models', () => {
  it('that holds one file, of whatever name, is opened', async () => {
    const at = join(folder, 'one', 'onnx');
    await mkdir(at, { recursive: true });
    await copyFile(path('fixtures/matrix/llama/bnb4/model.onnx'), join(at, 'model_bnb4.onnx'));
    const { model, path: found } = await open(join(folder, 'one'));
    expect(found).toBe(join(at, 'model_bnb4.onnx'));
    expect(model.parts).toHaveLength(15);
  });

  it('that holds several is asked for one, by name', async () => {
    const at = join(folder, 'several');
    await mkdir(join(at, 'onnx'), { recursive: true });
    await copyFile(path('fixtures/pre-gelu-dynamo.onnx'), join(at, 'decoder_model.onnx'));
    await copyFile(path('fixtures/post-gelu-dynamo.onnx'), join(at, 'onnx', 'encoder_model.onnx'));
    await expect(open(at)).rejects.toThrow(
      'it has decoder_model.onnx, onnx/encoder_model.onnx: name one (modelFile, or --model-file)',
    );
    expect((await open(at, { modelFile: 'decoder_model.onnx' })).path).toBe(join(at, 'decoder_model.onnx'));
    expect((await open(at, { modelFile: 'encoder_model.onnx' })).path).toBe(
      join(at, 'onnx', 'encoder_model.onnx'),
    );
    await expect(open(at, { modelFile: 'model.onnx' })).rejects.toThrow(
      'there is no model.onnx in this folder; it has decoder_model.onnx',
    );
  });

  it('gives its config.json to recognition', async () => {
    const at = join(folder, 'configured');
    await mkdir(at);
    await copyFile(path('fixtures/pre-gelu-dynamo.onnx'), join(at, 'model.onnx'));
    await writeFile(join(at, 'config.json'), JSON.stringify({ model_type: 'gpt2', n_layer: 12 }));
    const { model } = await open(at);
    expect(model.refusal).toContain('2 layers, where config.json says 12');
    expect(model.config).toEqual({ model_type: 'gpt2', n_layer: 12 });
  });
});

describe('a model of a fixed length without a mask', () => {
  const inputs = [{ name: 'input_ids', dtype: 'int64', shape: [1, 4] }];
  const batches = (plan: FeedPlan, ...docs: number[][]) => collect(contextBatches(documents(...docs), plan));

  it('is refused where it reads the padding', async () => {
    const plan = feedPlan('m', inputs, ort, [], { readsPadding: true });
    await expect(batches(plan, [1, 2, 3, 4], [5, 6])).rejects.toThrow(
      'a context of 2 tokens, but the model takes 4, has no mask, and reads what follows a token: padding would change every row',
    );
    await expect(batches(feedPlan('m', inputs, ort), [5, 6])).rejects.toThrow('for all that is known');
    expect(await batches(plan, [1, 2, 3, 4], [5, 6, 7, 8])).toHaveLength(2);
  });

  it('is fine where it does not', async () => {
    const plan = feedPlan('m', inputs, ort, [], { readsPadding: false });
    const found = await batches(plan, [5, 6]);
    expect(Array.from(found[0]!.ids)).toEqual([5, 6, 0, 0]);
  });
});
