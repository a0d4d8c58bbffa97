import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenizer, harvest, openModel, type TransformerModel } from '../src/index.ts';
import { openModelFile, readTextFiles } from '../src/node/index.ts';
import { encodeModel, parseGraph } from '../src/onnx/graph.ts';
import { decodeText } from '../src/textDocuments.ts';
import { brownLm, collect, distance, documents, open, path } from './helpers.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'msae-bad-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const rows = async (model: TransformerModel, tap: string, ...docs: number[][]) =>
  (await collect(harvest(model, documents(...docs), { taps: [tap] })))[0]!.activations[0]!.data;

describe('a tap that is not there', () => {
  it('is answered with the nearest names', async () => {
    const { model } = await open(brownLm);
    expect(() => model.resolve('block.2.resid_post')).toThrow(
      /no tap point or tensor named block\.2\.resid_post; the nearest names are blocks\.2\.resid_post, /,
    );
    await expect(rows(model, 'blocks.7.resid_post', [1])).rejects.toThrow('the nearest names are');
    await expect(rows(model, 'input_ids', [1])).rejects.toThrow('input_ids');
    await expect(collect(harvest(model, documents([1]), { taps: [] }))).rejects.toThrow('at least one tap');
  });

  it('that is not one row a token is refused with its shape', async () => {
    const { model } = await open(brownLm);
    await expect(rows(model, 'blocks.0.attn.pattern', [1, 2])).rejects.toThrow(
      'has shape [1, 4, 2, 2]; expected one row a token: [1, 2, width]',
    );
    await expect(rows(model, 'input.length', [1, 2])).rejects.toThrow('input.length');
  });
});

describe('external data', () => {
  /** The model with its weights moved to another file, as exporters do beyond 2 GB. */
  async function external(name: string): Promise<string> {
    const { proto } = parseGraph(await readFile(path('fixtures/pre-gelu-dynamo.onnx')), 'fixture');
    const chunks: Uint8Array[] = [];
    let offset = 0;
    for (const tensor of proto.graph!.initializer!) {
      const { rawData } = tensor;
      if (!rawData?.length || tensor.dataType !== 1) continue; // shapes stay where they are
      const entries = { location: 'weights.bin', offset: String(offset), length: String(rawData.length) };
      tensor.externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
      tensor.dataLocation = 1;
      chunks.push(rawData);
      offset += rawData.length;
      tensor.rawData = null;
    }
    const at = join(folder, name);
    await mkdir(at);
    await writeFile(join(at, 'model.onnx'), encodeModel(proto));
    await writeFile(join(at, 'weights.bin'), Buffer.concat(chunks));
    return at;
  }

  it('is read from beside the model, for whatever is tapped', async () => {
    const { model } = await openModelFile(await external('there'));
    expect(model.graph.externalFiles).toEqual(['weights.bin']);
    const inline = await open(path('fixtures/pre-gelu-dynamo.onnx'));
    const tap = 'blocks.1.resid_mid';
    expect(distance(await rows(model, tap, [3, 1, 4]), await rows(inline.model, tap, [3, 1, 4]))).toBe(0);
  });

  it('that is missing is named', async () => {
    const at = await external('missing');
    await rm(join(at, 'weights.bin'));
    await expect(openModelFile(at)).rejects.toThrow('its external data weights.bin is missing');
  });
});

describe('what is no model', () => {
  it('gives one clear error', async () => {
    await expect(openModelFile(join(folder, 'nothing.onnx'))).rejects.toThrow('there is no such file');
    await expect(openModelFile(folder)).rejects.toThrow('holds neither model.onnx nor onnx/model.onnx');
    const file = join(folder, 'text.onnx');
    await writeFile(file, 'this is text, not a model');
    await expect(openModelFile(file)).rejects.toThrow('text.onnx: not an ONNX model');
    await writeFile(file, '');
    await expect(openModelFile(file)).rejects.toThrow('text.onnx: not an ONNX model');
    const bytes = await readFile(brownLm);
    const cut = openModel(bytes.subarray(0, bytes.length - 1000), { runtime: ort, name: 'cut' });
    await expect(cut).rejects.toThrow('cut: not an ONNX model');
  });

  it('however it is damaged, it ends with an Error, soon', async () => {
    const bytes = new Uint8Array(await readFile(path('fixtures/post-gelu-dynamo.onnx')));
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(bytes.length), async (changes, length) => {
        const damaged = bytes.slice(0, length % 3 === 0 ? length : bytes.length);
        for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
        const outcome = await openModel(damaged, { runtime: ort }).then(
          () => 'opened',
          (error: unknown) => error,
        );
        if (outcome !== 'opened') expect(outcome).toBeInstanceOf(Error);
      }),
      { numRuns: 150 },
    );
  });

  it('that onnxruntime refuses is reported with its reason', async () => {
    const { proto } = parseGraph(await readFile(path('fixtures/pre-gelu-dynamo.onnx')), 'fixture');
    for (const node of proto.graph!.node!) if (node.opType === 'Softmax') node.opType = 'Softmix';
    const model = await openModel(encodeModel(proto), { runtime: ort, name: 'strange' });
    await expect(model.session(['logits'])).rejects.toThrow(
      /strange: onnxruntime does not load it: .*Softmix/s,
    );
  });
});

describe('activations that no autoencoder can be trained on', () => {
  const identity = (width: number, value: number) => (tensor: ort.Tensor) =>
    new ort.Tensor('float32', new Float32Array(tensor.size * width).fill(value), [...tensor.dims, width]);

  /** A model whose runtime is replaced by one that makes up outputs. */
  async function faked(output: (call: number, ids: ort.Tensor) => ort.Tensor): Promise<TransformerModel> {
    let call = 0;
    const create = async (...args: unknown[]) => {
      const session = await ort.InferenceSession.create(args[0] as Uint8Array, args[1] as object);
      return new Proxy(session, {
        get: (target, key) => {
          if (key === 'run')
            return async (feeds: { input_ids: ort.Tensor }) => ({ logits: output(call++, feeds.input_ids) });
          const value = Reflect.get(target, key, target) as unknown;
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    };
    const runtime = {
      Tensor: ort.Tensor,
      InferenceSession: { create: create as typeof ort.InferenceSession.create },
    };
    return openModel(await readFile(path('fixtures/pre-gelu-dynamo.onnx')), { runtime, probe: false });
  }

  it('that change their width midway are refused', async () => {
    const model = await faked((call, ids) => identity(call === 0 ? 40 : 41, 1)(ids));
    const run = collect(harvest(model, documents([1, 2], [3]), { taps: ['logits'], batchSize: 1 }));
    await expect(run).rejects.toThrow('tap logits changed its width from 40 to 41');
  });

  it('that are not finite are refused, with row and column', async () => {
    const model = await faked((_, ids) => identity(40, Number.NaN)(ids));
    await expect(rows(model, 'logits', [1, 2])).rejects.toThrow(/tap logits: row 0, column 0 is NaN/);
  });
});

describe('text', () => {
  it('that does not decode is refused at its first bad byte', async () => {
    expect(() => decodeText(Uint8Array.of(0x61, 0xc3, 0xa9, 0xff, 0x62), 'a.txt')).toThrow(
      'a.txt: not UTF-8 text: byte 3 is 0xff',
    );
    expect(() => decodeText(Uint8Array.of(0x61, 0xc3), 'a.txt')).toThrow('byte 1 is 0xc3');
    const file = join(folder, 'latin1.txt');
    await writeFile(file, Buffer.from('caf\xe9 noir', 'latin1'));
    await expect(readTextFiles(file)).rejects.toThrow('latin1.txt: not UTF-8 text: byte 3 is 0xe9');
    await writeFile(join(folder, 'blank.txt'), ' \n\n');
    await expect(readTextFiles(join(folder, 'blank.txt'), 'line')).rejects.toThrow('no text in it');
    await expect(readTextFiles(join(folder, 'none.txt'))).rejects.toThrow('no such file');
  });

  it('finds the first bad byte wherever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (before, after) => {
        const good = new TextEncoder().encode(before);
        const bytes = Buffer.concat([good, Uint8Array.of(0xff), new TextEncoder().encode(after)]);
        expect(() => decodeText(bytes, 't')).toThrow(`byte ${good.length} is 0xff`);
      }),
    );
  });

  it('without a usable tokenizer is refused', async () => {
    expect(() => createTokenizer({}, {}, 'x/tokenizer.json')).toThrow('x/tokenizer.json: not a tokenizer');
    expect(() => createTokenizer({ model: { type: 'Nonsense' } })).toThrow('cannot be used as a tokenizer');
  });

  it('options that make no sense are named', async () => {
    const { model } = await open(brownLm);
    const run = (options: object) =>
      collect(harvest(model, documents([1]), { taps: ['blocks.0.resid_pre'], ...options }));
    await expect(run({ batchSize: 0 })).rejects.toThrow(
      'harvest: batchSize: expected a whole number ≥ 1, got 0',
    );
    await expect(run({ contextLength: 1.5 })).rejects.toThrow('contextLength');
    await expect(run({ sortWindow: Number.NaN })).rejects.toThrow('sortWindow');
    await expect(run({ contextLenght: 8 })).rejects.toThrow(
      'there is no option contextLenght (did you mean contextLength?)',
    );
    await expect(openModelFile(brownLm, { thread: 1 } as never)).rejects.toThrow('did you mean threads?');
  });
});
