import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModelFile } from '../src/node/index.ts';
import { path } from './helpers.ts';

let cacheDir = '';
beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'msae-hub-'));
});
afterAll(() => rm(cacheDir, { recursive: true, force: true }));

/** The hub's two answers: a repository's files, and a file. */
function hubOf(files: Record<string, Uint8Array>): { fetch: typeof fetch; asked: string[] } {
  const asked: string[] = [];
  const answer = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    asked.push(url.pathname);
    if (url.pathname.includes('/tree/')) {
      return Response.json(
        Object.entries(files).map(([name, bytes]) => ({
          path: name,
          type: 'file',
          size: bytes.length,
          oid: name,
        })),
      );
    }
    const bytes = files[url.pathname.split('/resolve/main/')[1] ?? ''];
    if (!bytes) return new Response('', { status: 404, headers: { 'X-Error-Code': 'EntryNotFound' } });
    const range = /bytes=(\d+)-(\d+)?/.exec(new Headers(init?.headers).get('range') ?? '');
    const [from, to] = range
      ? [Number(range[1]), Number(range[2] ?? bytes.length - 1)]
      : [0, bytes.length - 1];
    return new Response(bytes.slice(from, to + 1), {
      status: range ? 206 : 200,
      headers: { ETag: 'e', 'Content-Range': `bytes ${from}-${to}/${bytes.length}` },
    });
  };
  return { fetch: answer as typeof fetch, asked };
}

describe('a Hugging Face repository', () => {
  it('is downloaded once, tokenizer included, and opened', async () => {
    const [model, tokenizer] = await Promise.all([
      readFile(path('fixtures/pre-gelu-dynamo.onnx')),
      readFile(path('../../../examples/brown-lm/model/tokenizer.json')),
    ]);
    const hub = hubOf({
      'onnx/model.onnx': model,
      'tokenizer.json': tokenizer,
      'README.md': new Uint8Array(9),
    });
    const opened = await openModelFile('someone/tiny', { fetch: hub.fetch, cacheDir });
    expect((await opened.model.tapPoints()).length).toBe(10);
    expect(opened.tokenizer!.size).toBe(4096);
    expect(hub.asked.some((one) => one.includes('README'))).toBe(false);
    const before = hub.asked.length;
    for (const name of ['someone/tiny', 'hf://someone/tiny', 'hf://someone/tiny/onnx/model.onnx']) {
      await openModelFile(name, { fetch: hub.fetch, cacheDir });
    }
    expect(hub.asked.length).toBe(before);
  });

  it('without an ONNX file, or out of reach, gives one clear error', async () => {
    const empty = hubOf({ 'model.safetensors': new Uint8Array(1) });
    await expect(openModelFile('a/b', { fetch: empty.fetch, cacheDir })).rejects.toThrow(
      'it has no ONNX file',
    );
    const several = { 'onnx/model_q4.onnx': new Uint8Array(1), 'onnx/model_int8.onnx': new Uint8Array(1) };
    const other = hubOf(several);
    await expect(openModelFile('a/b', { fetch: other.fetch, cacheDir })).rejects.toThrow(
      'it has onnx/model_q4.onnx, onnx/model_int8.onnx: name one',
    );
    const offline = (() => Promise.reject(new Error('no network'))) as typeof fetch;
    await expect(openModelFile('a/b', { fetch: offline, cacheDir })).rejects.toThrow(
      'a/b: there is no such file here, and hf://a/b@main: the Hugging Face hub does not give a list of its files: no network',
    );
    await expect(openModelFile('a/b', { modelFile: '../../x', cacheDir })).rejects.toThrow(
      'within the repository',
    );
  });
});
