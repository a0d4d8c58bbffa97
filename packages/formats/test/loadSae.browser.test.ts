/** In a real browser: dropped files, the origin-private file system, and an address read by HTTP ranges. */
import { encode, reconstruct, type Sae } from '@msae/core';
import { loadSae, saeFiles } from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';

/** SAEs the peers wrote, and what they compute from x (see peerFixtures.ts), as Vite serves them. */
const fixture = (path: string): string =>
  new URL(`/packages/formats/test/fixtures/peers/${path}`, location.origin).href;
const bytes = async (path: string) => (await fetch(fixture(path))).arrayBuffer();

beforeAll(() => tf.setBackend('cpu'));

/** The peer's x and f out of a safetensors file, read here without our reader. */
async function expectation(name: string): Promise<Record<string, tf.Tensor2D>> {
  const buffer = await bytes(`expected/${name}.safetensors`);
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(new Uint8Array(buffer, 8, length));
  const header = JSON.parse(text) as Record<
    string,
    { shape: [number, number]; data_offsets: [number, number] }
  >;
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        key,
        {
          shape,
          data_offsets: [begin, end],
        },
      ]) => [key, tf.tensor2d(new Float32Array(buffer.slice(8 + length + begin, 8 + length + end)), shape)],
    ),
  );
}

async function expectSame(sae: Sae, name: string): Promise<void> {
  const { x, f, xhat } = await expectation(name);
  expect(tf.max(tf.abs(tf.sub(encode(sae, x!), f!))).dataSync()[0]).toBeLessThan(1e-5);
  expect(tf.max(tf.abs(tf.sub(reconstruct(sae, x!), xhat!))).dataSync()[0]).toBeLessThan(1e-5);
}

describe('in a browser', () => {
  it('dropped files of dictionary_learning load', async () => {
    const name = 'dictionary_learning-MatryoshkaBatchTopKSAE';
    const files = await Promise.all(
      ['ae.pt', 'config.json'].map(async (file) => new File([await bytes(`cases/${name}/${file}`)], file)),
    );
    await expectSame(await loadSae(files), name);
  });

  it('an address is read by ranges', async () => {
    const name = 'saelens-checkpoint-matryoshka_batchtopk-expected_average_only_in';
    const ranges: (string | null)[] = [];
    const send: typeof fetch = (input, init) => {
      ranges.push(new Headers(init?.headers).get('range'));
      return fetch(input, init);
    };
    await expectSame(await loadSae(fixture(`cases/${name}/sae_weights.safetensors`), { fetch: send }), name);
    expect(ranges.filter(Boolean).length).toBeGreaterThan(4);
  });

  it('what was saved to the origin-private file system loads from its directory handle', async () => {
    const name = 'saelens-topk-none';
    const files = await Promise.all(
      ['cfg.json', 'sae_weights.safetensors'].map(
        async (file) => new File([await bytes(`cases/${name}/${file}`)], file),
      ),
    );
    const loaded = await loadSae(files);
    const root = await navigator.storage.getDirectory();
    const directory = await root.getDirectoryHandle('saved-sae', { create: true });
    for (const file of await saeFiles(loaded, { format: 'msae' })) {
      const writable = await (await directory.getFileHandle(file.path, { create: true })).createWritable();
      await file.write({ write: (part) => writable.write(part as Uint8Array<ArrayBuffer>) });
      await writable.close();
    }
    const again = await loadSae(directory);
    expect(again.record.source).toEqual({ format: 'saelens', architecture: 'topk' }); // where it was first
    await expectSame(again, name);
    await root.removeEntry('saved-sae', { recursive: true });
  });

  it('a path is refused with what to do instead', async () => {
    await expect(loadSae('/tmp/sae')).rejects.toThrow(/a path, which a browser cannot open.*dropped files/);
  });
});
