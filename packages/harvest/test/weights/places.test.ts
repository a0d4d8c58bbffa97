import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fromUrl } from '@msae/data';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  filesFolder,
  harvest,
  openModel,
  openWeights,
  spliceModel,
  unembedding,
  urlFolder,
} from '../../src/index.ts';
import { openModelFile } from '../../src/node/index.ts';
import type { WeightsModel } from '../../src/weights/weightsModel.ts';
import { difference, expectedAt, farthest, fixtures, openFamily, runStep } from './models.ts';

const options = { runtime: ort, sessionOptions: { intraOpNumThreads: 1 } };

describe('openModelFile and openModel', () => {
  it('open a folder of safetensors, and harvest what transformers computes, padding left out', async () => {
    const { model } = await openModelFile(`${fixtures}/llama`, { threads: 1 });
    const expected = await expectedAt(`${fixtures}/llama/expected.safetensors`);
    const documents = expected.ids.map((ids, id) => ({
      id,
      ids: Int32Array.from(ids.slice(0, expected.lengths[id])),
    }));
    const taps = ['blocks.1.resid_pre', 'blocks.1.mlp_in', 'blocks.0.z'];
    let rows = 0;
    for await (const batch of harvest(model, documents, { taps })) {
      rows += batch.rows;
      batch.activations.forEach(({ tap, width, data }) => {
        const wanted = expected.values.get(tap)!;
        for (let row = 0; row < batch.rows; row++) {
          const at = (batch.docIds[row]! * 7 + batch.positions[row]!) * width;
          const got = data.subarray(row * width, (row + 1) * width);
          expect(farthest(got, wanted.subarray(at, at + width)), tap).toBeLessThan(1e-5);
        }
      });
    }
    expect(rows).toBe(expected.lengths.reduce((a, b) => a + b));
  });

  it('open a .gguf, a folder with one, and its bytes: the same model', async () => {
    const path = `${fixtures}/llama-mixed.gguf`;
    const { model, path: found } = await openModelFile(path, { threads: 1 });
    const bytes = await openModel(readFileSync(path), options);
    expect(found).toBe(path);
    expect(bytes.fingerprint).toBe(model.fingerprint);
    const other = await openModelFile(`${fixtures}/qwen2-q8.gguf`, { threads: 1 });
    expect(other.model.fingerprint).not.toBe(model.fingerprint);
    await expect(openModelFile(fixtures)).rejects.toThrow(/holds .*llama-k\.gguf.*: name one/);
    const named = await openModelFile(fixtures, { modelFile: 'llama-k.gguf', threads: 1 });
    expect(await named.model.tapPoints()).toHaveLength(7);
    const file = await openModelFile(`${fixtures}/llama/model.safetensors`, { threads: 1 });
    const folder = await openModelFile(`${fixtures}/llama`, { threads: 1 });
    expect([file.path, file.model.fingerprint]).toEqual([folder.path, folder.model.fingerprint]);
  });

  it('splice like any other model', async () => {
    const { model } = await openModelFile(`${fixtures}/gemma2`, { threads: 1 });
    const expected = await expectedAt(`${fixtures}/gemma2/expected.safetensors`);
    const spliced = await spliceModel(model, 'blocks.0.resid_post');
    const ids = Int32Array.from(expected.ids[0]!);
    const contexts = [{ docId: 0, start: 0, ids, next: -1 }];
    const batch = { batch: 1, length: 7, ids, mask: new Uint8Array(7).fill(1), contexts };
    const clean = await spliced.clean(batch);
    const same = await spliced.run(batch, clean.tap, clean.tap.data as Float32Array);
    await spliced.release();
    expect(same.data).toEqual(clean.output.data);
    expect(
      farthest(same.data as Float32Array, expected.values.get('logits')!.subarray(0, 7 * 61)),
    ).toBeLessThan(1e-5);
  });

  it('give the unembedding, the last gain folded in', async () => {
    for (const name of ['gpt2', 'llama3']) {
      const { model } = await openModelFile(`${fixtures}/${name}`, { threads: 1 });
      const own = (await (model as WeightsModel).unembedding())!;
      expect([own.vocabulary, own.width, own.foldedGain]).toEqual([61, 32, true]);
      const read = (await unembedding(model))!;
      expect(farthest(read.data, own.data)).toBeLessThan(1e-5);
    }
  });

  it('run in stretches between taps: each is fed what the one before gave', async () => {
    const model = await openFamily('gemma3');
    const expected = await expectedAt(`${fixtures}/gemma3/expected.safetensors`);
    const [a, b] = ['blocks.0.resid_post', 'blocks.1.resid_mid'] as const;
    const first = await model.session([a]);
    const second = await model.session([b], { fed: [a] });
    const third = await model.session(['logits'], { fed: [a, b] }).catch((error: unknown) => String(error));
    expect(third).toMatch(/logits does not depend on blocks\.0\.resid_post/);
    const last = await model.session(['logits'], { fed: [b], added: ['blocks.2.z'] });
    const names = last.inputs.map(({ name }) => name).sort();
    expect(names).toEqual(['attention_mask', 'blocks.1.resid_mid::fed', 'blocks.2.z::added', 'position_ids']);
    const one = (await runStep(first, expected))[a]!;
    const two = (await runStep(second, { ...expected, more: { [`${a}::fed`]: one } }))[b]!;
    const none = new ort.Tensor('float32', new Float32Array(2 * 7 * 64), [2, 7, 64]);
    const more = { [`${b}::fed`]: two, 'blocks.2.z::added': none };
    const { logits } = await runStep(last, { ...expected, more });
    for (const { session } of [first, second, last]) await session.release();
    expect(difference(logits!, expected.values.get('logits')!, expected)).toBeLessThan(1e-5);
  });

  it('take logits from lm_head unless a config ties them, and give none where there is none', async () => {
    const read = (file: string) => new Uint8Array(readFileSync(`${fixtures}/mistral/${file}`));
    const config = JSON.parse(new TextDecoder().decode(read('config.json'))) as Record<string, unknown>;
    delete config.tie_word_embeddings;
    const weights = read('model.safetensors');
    const files = {
      'config.json': new TextEncoder().encode(JSON.stringify(config)),
      'model.safetensors': weights,
    };
    const expected = await expectedAt(`${fixtures}/mistral/expected.safetensors`);
    const model = await openWeights(filesFolder(files), options);
    const { session, ...infos } = await model.session(['logits']);
    const { logits } = await runStep({ session, ...infos }, expected);
    await session.release();
    expect(difference(logits!, expected.values.get('logits')!, expected)).toBeLessThan(1e-5);
    // a base model: the name of the head's matrix is another
    const header = new TextDecoder('latin1').decode(weights).indexOf('"lm_head.weight"');
    const bare = weights.slice();
    bare.set(new TextEncoder().encode('"xx_head.weight"'), header);
    const base = await openWeights(filesFolder({ ...files, 'model.safetensors': bare }), options);
    expect(base.notes).toEqual([expect.stringMatching(/no matrix for logits/)]);
    expect(() => base.resolve('logits')).toThrow(/there is no tap point or tensor named logits/);
    expect(await base.unembedding()).toBeUndefined();
  });

  it('name a tap that is not there, and what is nearest', async () => {
    const { model } = await openModelFile(`${fixtures}/llama`, { threads: 1 });
    expect(() => model.resolve('blocks.1.residpost')).toThrow(/nearest names are blocks\.1\.resid_post/);
    await expect(model.splicedSession('blocks.1.resid_post', ['blocks.0.z'])).rejects.toThrow(
      /does not depend on/,
    );
  });
});

describe('behind a URL, by ranges', () => {
  let bytesSent = 0;
  const server = createServer((request, response) => {
    let file: Buffer;
    try {
      file = readFileSync(`${fixtures}${new URL(request.url!, 'http://x').pathname}`);
    } catch {
      response.writeHead(404).end();
      return;
    }
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    if (from === undefined || to === undefined) {
      response
        .writeHead(200, { 'content-length': file.length })
        .end(request.method === 'HEAD' ? undefined : file);
      return;
    }
    const part = file.subarray(Number(from), Number(to) + 1);
    bytesSent += part.length;
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${file.length}` }).end(part);
  });
  let base = '';
  beforeAll(async () => {
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => new Promise((done) => server.close(done)));

  it('opens a GGUF and reads only the weights of the layers a tap needs', async () => {
    const model = await openWeights(await fromUrl(`${base}/llama-mixed.gguf`), options);
    const local = await openModelFile(`${fixtures}/llama-mixed.gguf`, { threads: 1 });
    expect(model.fingerprint).toBe(local.model.fingerprint);
    const expected = await expectedAt(`${fixtures}/llama-mixed.expected.safetensors`);
    bytesSent = 0;
    const first = await model.session(['blocks.0.resid_post']);
    const forOneLayer = bytesSent;
    const all = await model.session(['logits']);
    const logits = (await runStep(all, expected)).logits!;
    expect(forOneLayer).toBeLessThan((bytesSent - forOneLayer) * 0.65);
    expect(difference(logits, expected.values.get('logits')!, expected)).toBeLessThan(1e-5);
    for (const { session } of [first, all]) await session.release();
  });

  it('opens a folder in shards', async () => {
    const model = await openWeights(urlFolder(`${base}/qwen2`), options);
    const expected = await expectedAt(`${fixtures}/qwen2/expected.safetensors`);
    const opened = await model.session(['logits']);
    const { logits } = await runStep(opened, expected);
    await opened.session.release();
    expect(difference(logits!, expected.values.get('logits')!, expected)).toBeLessThan(1e-5);
  });
});
