/** Files beyond 2 and 4 GB, on disk. They are sparse: almost all of them is a hole, which takes no space. */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { topK } from '@msae/core';
import { readSafetensors } from '@msae/data';
import { openFile } from '@msae/data/node';
import { type Folder, inspectSae, loadSae } from '@msae/formats';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { readTensor, safetensorsTensors } from '../src/containers/storedTensor.ts';
import { pickleStateDict, type TorchEntry } from '../src/containers/torchWrite.ts';
import { centralHeader, endRecords, localHeader, type Written } from '../src/containers/zipWrite.ts';
import { diskFolder } from '../src/node/diskFolder.ts';

let root = '';
beforeAll(async () => {
  await tf.setBackend('cpu');
  root = await mkdtemp(join(tmpdir(), 'msae-large-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const bytesOf = (values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** Writes pieces at their places; what lies between is a hole. */
async function writeSparse(path: string, pieces: readonly (readonly [number, Uint8Array])[]): Promise<void> {
  const file = await open(path, 'w');
  for (const [offset, bytes] of pieces) await file.write(bytes, 0, bytes.byteLength, offset);
  await file.close();
}

// Windows fills holes with zeros unless asked not to
const sparse = describe.skipIf(process.platform === 'win32');

sparse('a safetensors file of 4.9 GB', () => {
  const [d, n] = [4096, 150_000];
  const matrixBytes = d * n * 4;

  it('is inspected, and tensors beyond 2 and 4 GB are read', async () => {
    const places: [string, number[], number][] = [
      ['W_dec', [n, d], matrixBytes],
      ['W_enc', [d, n], matrixBytes],
      ['b_dec', [d], d * 4],
      ['b_enc', [n], n * 4],
    ];
    let end = 0;
    const header: Record<string, unknown> = {};
    for (const [name, shape, size] of places) {
      header[name] = { dtype: 'F32', shape, data_offsets: [end, end + size] };
      end += size;
    }
    const text = new TextEncoder().encode(JSON.stringify(header));
    const head = new Uint8Array(8 + text.byteLength);
    new DataView(head.buffer).setBigUint64(0, BigInt(text.byteLength), true);
    head.set(text, 8);
    const data = head.byteLength;
    const lastRow = data + matrixBytes - d * 4; // of W_dec, beyond 2 GB
    const b_dec = data + 2 * matrixBytes; // beyond 4 GB
    await writeSparse(join(root, 'sae_weights.safetensors'), [
      [0, head],
      [lastRow, bytesOf([3, 4])],
      [b_dec, bytesOf([1.5, -2.5])],
      [data + end - 4, bytesOf([7])],
    ]);
    const cfg = {
      architecture: 'topk',
      d_in: d,
      d_sae: n,
      k: 32,
      dtype: 'float32',
      metadata: { sae_lens_version: '6.54.12' },
    };
    await writeSparse(join(root, 'cfg.json'), [[0, new TextEncoder().encode(JSON.stringify(cfg))]]);

    const report = await inspectSae(root, { norms: false });
    expect(report).toMatchObject({
      format: 'saelens',
      input: { width: d },
      nLatents: n,
      activation: topK(32),
    });
    expect(report.parameters).toBe(2 * d * n + d + n);

    const source = await openFile(join(root, 'sae_weights.safetensors'));
    expect(source.size).toBeGreaterThan(4 * 2 ** 30);
    const tensors = safetensorsTensors(await readSafetensors(source));
    expect(Array.from((await readTensor(tensors.get('b_dec')!)).subarray(0, 3))).toEqual([1.5, -2.5, 0]);
    expect((await readTensor(tensors.get('b_enc')!)).at(-1)).toBe(7);
    const W_dec = tensors.get('W_dec')!;
    const row = await readTensor({ ...W_dec, shape: [1, d], offset: W_dec.offset + (n - 1) * d * 4 });
    expect(Array.from(row.subarray(0, 3))).toEqual([3, 4, 0]);
    await source.close?.();
  });
});

sparse('a torch file of 4.8 GB (zip64)', () => {
  it('loads: only the tensors that matter are read', async () => {
    const [d, n] = [2, 3];
    const entry = (name: string, shape: number[], dtype: TorchEntry['dtype'] = 'F32') => ({
      name,
      shape,
      dtype,
    });
    const entries = [
      entry('stats_last_nonzero', [600_000_000], 'I64'), // 4.8 GB that the reader passes over
      entry('pre_bias', [d]),
      entry('latent_bias', [n]),
      entry('encoder.weight', [n, d]),
      entry('decoder.weight', [d, n]),
    ];
    const values = [[], [0.5, -0.5], [1, 2, 3], [1, 2, 3, 4, 5, 6], [1, 0, 0, 0, 1, 1]];
    const pieces: [number, Uint8Array][] = [];
    const written: Written[] = [];
    let offset = 0;
    const add = (name: string, size: number, bytes?: Uint8Array): void => {
      const record = { name: new TextEncoder().encode(name), crc: 0, size, offset };
      const header = localHeader(record);
      pieces.push([offset, header]);
      if (bytes) pieces.push([offset + header.byteLength, bytes]);
      written.push(record);
      offset += header.byteLength + size;
    };
    const pickle = pickleStateDict(entries);
    add('big/data.pkl', pickle.byteLength, pickle);
    add('big/data/0', 600_000_000 * 8);
    values.slice(1).forEach((list, i) => add(`big/data/${i + 1}`, list.length * 4, bytesOf(list)));
    const directory = offset;
    for (const record of written) {
      const header = centralHeader(record);
      pieces.push([offset, header]);
      offset += header.byteLength;
    }
    pieces.push([offset, endRecords(written.length, directory, offset - directory)]);
    const path = join(root, 'big.pt');
    await writeSparse(path, pieces);

    const loaded = await loadSae(path);
    expect(loaded.record.source?.format).toBe('openai');
    const { W_enc, b_enc, W_dec, b_dec } = loaded.params;
    expect(W_enc.arraySync()).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
    expect(W_dec.arraySync()).toEqual([
      [1, 0],
      [0, 1],
      [0, 1],
    ]);
    expect([b_enc.arraySync(), b_dec.arraySync()]).toEqual([
      [1, 2, 3],
      [0.5, -0.5],
    ]);
    loaded.dispose();
  });
});

sparse('memory', () => {
  it('holds the weights once while they load', async () => {
    const [d, n] = [512, 32_768];
    const folder = join(root, 'once');
    await mkdir(folder);
    const places: [string, number[]][] = [
      ['W_dec', [n, d]],
      ['W_enc', [d, n]],
      ['b_dec', [d]],
      ['b_enc', [n]],
    ];
    let end = 0;
    const header: Record<string, unknown> = {};
    for (const [name, shape] of places) {
      const size = 4 * shape.reduce((a, b) => a * b, 1);
      header[name] = { dtype: 'F32', shape, data_offsets: [end, end + size] };
      end += size;
    }
    const text = new TextEncoder().encode(JSON.stringify(header));
    const head = new Uint8Array(8 + text.byteLength);
    new DataView(head.buffer).setBigUint64(0, BigInt(text.byteLength), true);
    head.set(text, 8);
    await writeSparse(join(folder, 'sae_weights.safetensors'), [
      [0, head],
      [head.byteLength + end - 4, bytesOf([1])],
    ]);
    const cfg = { architecture: 'standard', d_in: d, d_sae: n, metadata: { sae_lens_version: '6.54.12' } };
    await writeSparse(join(folder, 'cfg.json'), [[0, new TextEncoder().encode(JSON.stringify(cfg))]]);

    const before = process.memoryUsage().arrayBuffers;
    let peak = 0;
    const disk = diskFolder(folder);
    const watched: Folder = {
      ...disk,
      async open(path) {
        const source = await disk.open(path);
        return (
          source && {
            ...source,
            async readInto(target, offset, options) {
              await source.readInto!(target, offset, options);
              peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
            },
          }
        );
      },
    };
    const loaded = await loadSae(watched);
    expect(peak).toBeGreaterThan(0.9 * end);
    expect(peak).toBeLessThan(1.2 * end);
    loaded.dispose();
  });
});
