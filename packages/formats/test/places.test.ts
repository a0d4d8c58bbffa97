/** The same SAE from a path, by HTTP ranges, from a hub, from dropped files and a directory handle. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { encode, isMsaeError, reconstruct, type Sae } from '@msae/core';
import { inspectSae, loadSae } from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { casePath, difference, peerExpectation } from './peerFixtures.ts';

interface Request {
  path: string;
  range: string | undefined;
  authorization: string | undefined;
}

let server: Server;
let base = '';
let requests: Request[] = [];

/** A static file server with ranges, and the part of the hub's API that finding and reading files takes. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
  const { range, authorization } = request.headers;
  requests.push({ path, range, authorization });
  const tree = /^\/api\/models\/team\/saes\/tree\/(main|v2)(?:\/(.*))?$/.exec(path);
  if (tree) {
    hubTree(tree[2] ?? '', response);
    return;
  }
  const resolved = /^\/team\/(saes|gated)\/resolve\/(?:main|v2)\/(.*)$/.exec(path);
  if (resolved?.[1] === 'gated' && authorization !== 'Bearer hf_secret') {
    response.writeHead(401, { 'X-Error-Message': 'Access to model team/gated is restricted' }).end();
    return;
  }
  const file = resolved ? `hub/${resolved[2]}` : path.slice(1);
  sendFile(file, path.startsWith('/no-ranges/') ? undefined : range, request, response);
}

/** The repository holds a sparsify SAE in layers.3 and a dictionary_learning one in resid/trainer_0. */
const hubFiles: Record<string, string> = {
  'layers.3/cfg.json': `${casePath('sparsify-topk')}/cfg.json`,
  'layers.3/sae.safetensors': `${casePath('sparsify-topk')}/sae.safetensors`,
  'resid/trainer_0/ae.pt': `${casePath('dictionary_learning-BatchTopKSAE')}/ae.pt`,
  'resid/trainer_0/config.json': `${casePath('dictionary_learning-BatchTopKSAE')}/config.json`,
};

function hubTree(folder: string, response: ServerResponse): void {
  const entries = Object.keys(hubFiles)
    .filter((path) => path.startsWith(folder))
    .map((path) => ({ type: 'file', oid: '0', size: readFileSync(hubFiles[path]!).byteLength, path }));
  if (!entries.length) {
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"Entry not found"}');
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(entries));
}

function sendFile(
  path: string,
  range: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const local = path.startsWith('hub/')
    ? hubFiles[path.slice(4)]
    : casePath(path.replace(/^no-ranges\//, ''));
  let bytes: Buffer;
  try {
    bytes = readFileSync(local!);
  } catch {
    response.writeHead(404, { 'X-Error-Code': 'EntryNotFound' }).end();
    return;
  }
  const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  const headers = { etag: '"1"', 'accept-ranges': 'bytes' };
  if (!match) {
    response.writeHead(200, { ...headers, 'content-length': bytes.byteLength });
    response.end(request.method === 'HEAD' ? undefined : bytes);
    return;
  }
  const [begin, end] = [Number(match[1]), Math.min(Number(match[2]), bytes.byteLength - 1)];
  const part = bytes.subarray(begin, end + 1);
  const contentRange = `bytes ${begin}-${end}/${bytes.byteLength}`;
  response
    .writeHead(206, { ...headers, 'content-range': contentRange, 'content-length': part.byteLength })
    .end(part);
}

beforeAll(async () => {
  await tf.setBackend('cpu');
  server = createServer(answer);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((done) => server.close(done)));
beforeEach(() => {
  requests = [];
});

async function expectSame(sae: Sae, name: string): Promise<void> {
  const { x, f, xhat } = await peerExpectation(name);
  expect(difference(encode(sae, x), f)).toBeLessThan(1e-5);
  expect(difference(reconstruct(sae, x), xhat)).toBeLessThan(1e-5);
}

describe('on disk', () => {
  it.each([
    'dictionary_learning-BatchTopKSAE/ae.pt',
    'saelens-jumprelu-none/sae_weights.safetensors',
    'saelens-jumprelu-none/cfg.json',
    'gemma_scope-npz',
  ])('%s, a file or a folder with one SAE somewhere in it', async (path) => {
    await expectSame(await loadSae(casePath(path)), path.split('/')[0]!);
  });

  it('by file: URL', async () => {
    const url = pathToFileURL(casePath('saelens-topk-none'));
    await expectSame(await loadSae(url), 'saelens-topk-none');
    await expectSame(await loadSae(url.href), 'saelens-topk-none');
  });

  it('says so when there is nothing', async () => {
    await expect(loadSae('/no/such/place')).rejects.toThrow(
      /\/no\/such\/place: path: found nothing.*hf:\/\//,
    );
  });
});

describe('over HTTP', () => {
  it.each([
    ['saelens-jumprelu-none', ''],
    ['dictionary_learning-GatedAutoEncoder', '/'],
    ['dictionary_learning-AutoEncoder', '/ae.pt'],
    ['openai-TopK', '/autoencoder.pt'],
    ['saelens-checkpoint-topk-expected_average_only_in', '/sae_weights.safetensors'],
  ])('%s%s, by ranges only', async (name, rest) => {
    await expectSame(await loadSae(`${base}/${name}${rest}`), name);
    const gets = requests.filter((request) => /\.(pt|safetensors)$/.test(request.path) && request.range);
    expect(gets.length).toBeGreaterThan(2);
    for (const { range } of gets) expect(range).toMatch(/^bytes=\d+-\d+$/);
  });

  it('inspecting reads the header and no matrix', async () => {
    const report = await inspectSae(new URL(`${base}/saelens-jumprelu-none`), { norms: false });
    expect(report).toMatchObject({ format: 'saelens', input: { width: 8 }, nLatents: 24, norms: null });
    const read = requests
      .filter((request) => request.path.endsWith('.safetensors') && request.range)
      .map((request) => /(\d+)-(\d+)/.exec(request.range!)!)
      .reduce((sum, match) => sum + Number(match[2]) - Number(match[1]) + 1, 0);
    expect(read).toBeLessThan(
      readFileSync(`${casePath('saelens-jumprelu-none')}/sae_weights.safetensors`).byteLength / 2,
    );
  });

  it('refuses a server that ignores ranges, and a place it cannot list', async () => {
    const error = await loadSae(`${base}/no-ranges/saelens-jumprelu-none`).catch((caught: unknown) => caught);
    expect(isMsaeError(error, 'file')).toBe(true);
    expect(String(error)).toMatch(/does not honour range requests/);
    await expect(loadSae(`${base}/nowhere`)).rejects.toThrow(
      /cannot be listed: give the address of the weights file/,
    );
  });
});

describe('from the Hugging Face hub', () => {
  const fromTest = (repo: string, more: object) => ({ repo, hubUrl: base, ...more });

  it.each([
    ['layers.3', 'sparsify-topk'],
    ['layers.3/sae.safetensors', 'sparsify-topk'],
    ['resid', 'dictionary_learning-BatchTopKSAE'],
  ])('%s of a repository', async (path, name) => {
    await expectSame(await loadSae(fromTest('team/saes', { path, revision: 'v2' })), name);
    expect(requests.every((request) => /\/v2(\/|$)/.test(request.path))).toBe(true);
  });

  it('names the SAEs of a repository that holds several', async () => {
    await expect(loadSae(fromTest('team/saes', {}))).rejects.toThrow(
      /hf:\/\/team\/saes: format: found several SAEs: layers.3, resid\/trainer_0.*name one of them/,
    );
  });

  it('says what to check when there is no such folder or no access', async () => {
    await expect(loadSae(fromTest('team/saes', { path: 'layers.9' }))).rejects.toThrow(
      /hf:\/\/team\/saes.*check the name/,
    );
    const path = 'layers.3/sae.safetensors';
    await expect(loadSae(fromTest('team/gated', { path }))).rejects.toThrow(
      /hf:\/\/team\/gated.*access token/,
    );
    await expectSame(
      await loadSae(fromTest('team/gated', { path, accessToken: 'hf_secret' })),
      'sparsify-topk',
    );
  });

  it.each(['hf://just-a-name', 'hf:'])('%s is refused as a name', async (text) => {
    await expect(loadSae(text)).rejects.toThrow(/: expected hf:\/\/owner\/name/);
  });

  it('understands hf://owner/name@revision/folder', async () => {
    const send: typeof fetch = (input, init) =>
      fetch(String(input).replace('https://huggingface.co', base), init);
    await expectSame(await loadSae('hf://team/saes@v2/layers.3', { fetch: send }), 'sparsify-topk');
  });
});

describe('in a browser', () => {
  const file = (name: string, path: string, folder = ''): File => {
    const made = new File([readFileSync(path)], name);
    if (folder) Object.defineProperty(made, 'webkitRelativePath', { value: `${folder}/${name}` });
    return made;
  };

  it('a dropped file', async () => {
    const path = `${casePath('gemma_scope-npz')}/layer_3/width_16k/average_l0_71/params.npz`;
    await expectSame(await loadSae(file('params.npz', path)), 'gemma_scope-npz');
  });

  it('a dropped folder, as files with their paths', async () => {
    const root = casePath('saelens-gated-none');
    const files = ['cfg.json', 'sae_weights.safetensors'].map((name) =>
      file(name, `${root}/${name}`, 'my sae/inner'),
    );
    await expectSame(await loadSae(files), 'saelens-gated-none');
  });

  it('a directory handle', async () => {
    const root = casePath('sparsify-topk');
    const fileHandle = (name: string) => ({
      kind: 'file',
      name,
      getFile: async () => file(name, `${root}/${name}`),
    });
    const table = new Map(['cfg.json', 'sae.safetensors'].map((name) => [name, fileHandle(name)]));
    const inner = directory('layers.3', table);
    const outer = directory('saes', new Map([['layers.3', inner]]));
    await expectSame(await loadSae(inner), 'sparsify-topk');
    await expectSame(await loadSae(outer), 'sparsify-topk');
  });
});

/** As much of a FileSystemDirectoryHandle as the File System Access API promises for reading. */
function directory(name: string, table: Map<string, object>): FileSystemDirectoryHandle {
  const get = async (wanted: string): Promise<object> => {
    const entry = table.get(wanted);
    if (!entry) throw new DOMException(`no ${wanted}`, 'NotFoundError');
    return entry;
  };
  return {
    kind: 'directory',
    name,
    async *entries() {
      yield* table;
    },
    getFileHandle: get,
    getDirectoryHandle: get,
  } as unknown as FileSystemDirectoryHandle;
}
