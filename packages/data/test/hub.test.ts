import { describe, expect, it } from 'vitest';
import { hubRepository, parseHubAddress } from '../src/index.ts';
import { errorOf } from './expectError.ts';

/** The hub's two answers: a repository's files, and a file. */
function hubOf(files: Record<string, string>): { fetch: typeof fetch; asked: string[] } {
  const asked: string[] = [];
  const answer = async (input: RequestInfo | URL): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    asked.push(url.pathname);
    if (url.pathname.includes('/tree/')) {
      const list = Object.entries(files).map(([path, text]) => ({
        path,
        type: 'file',
        size: text.length,
        oid: path,
      }));
      return Response.json(list);
    }
    const text = files[/\/resolve\/[^/]+\/(.*)$/.exec(url.pathname)?.[1] ?? ''];
    if (text === undefined)
      return new Response('', { status: 404, headers: { 'X-Error-Code': 'EntryNotFound' } });
    const headers = { ETag: 'e', 'Content-Range': `bytes 0-${text.length - 1}/${text.length}` };
    return new Response(text, { status: 206, headers });
  };
  return { fetch: answer as typeof fetch, asked };
}

describe('addresses of the hub', () => {
  it.each([
    ['hf://owner/name', { repo: 'owner/name' }],
    ['hf:owner/name', { repo: 'owner/name' }],
    ['hf://owner/na.me-1/layer_12/width_16k/', { repo: 'owner/na.me-1', path: 'layer_12/width_16k' }],
    ['hf://owner/name@refs%2Fpr%2F1/a/b.npz', { repo: 'owner/name', revision: 'refs/pr/1', path: 'a/b.npz' }],
  ])('%s', (address, location) => {
    expect(parseHubAddress(address)).toEqual(location);
    expect(parseHubAddress(address, { bare: true })).toEqual(location);
  });

  it('bare names are addresses only where they are asked for', () => {
    expect(parseHubAddress('owner/name')).toBeUndefined();
    expect(parseHubAddress('owner/name', { bare: true })).toEqual({ repo: 'owner/name' });
    for (const path of ['./name', 'a/b/c', '/a/b', 'name']) {
      if (path !== './name') expect(parseHubAddress(path, { bare: true })).toBeUndefined();
      expect(parseHubAddress(path)).toBeUndefined();
    }
  });

  it('says what an address looks like', async () => {
    expect((await errorOf(() => parseHubAddress('hf://owner'))).message).toBe(
      'hf://owner: expected hf://owner/name, hf://owner/name/folder or hf://owner/name@revision/folder',
    );
  });
});

describe('a repository', () => {
  it('lists once and gives its files', async () => {
    const hub = hubOf({ 'a/x.txt': 'hello', 'y.txt': 'you' });
    const repository = hubRepository({ repo: 'owner/name', fetch: hub.fetch });
    expect(await repository.list()).toEqual(['a/x.txt', 'y.txt']);
    await repository.list();
    expect(hub.asked).toHaveLength(1);
    expect(await (await repository.download('y.txt'))!.text()).toBe('you');
    const file = await repository.open('a/x.txt');
    expect([file!.name, file!.size]).toEqual(['hf://owner/name/a/x.txt', 5]);
    expect(await repository.open('z.txt')).toBeUndefined();
  });

  it('says that it cannot be reached, and what to check', async () => {
    const offline = (() => Promise.reject(new Error('no network'))) as typeof fetch;
    const repository = hubRepository({ repo: 'a/b', revision: 'v1', fetch: offline });
    expect((await errorOf(() => repository.list())).message).toBe(
      'hf://a/b@v1: the Hugging Face hub does not give a list of its files: no network; check the name, the revision and, for a gated repository, the access token',
    );
    expect((await errorOf(() => hubRepository({ repo: 'a/b', token: 'x' } as never))).message).toMatch(
      /^hub: there is no option token/,
    );
  });
});
