import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { encodeNpz } from '../src/formats/npz.ts';
import { crc32 } from '../src/formats/zip.ts';
import { encodeNpy, npyRows, readNpy, readNpz, readRows } from '../src/index.ts';
import { errorOf } from './expectError.ts';

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(import.meta.dirname, 'fixtures', name)));
const expected = JSON.parse(new TextDecoder().decode(await fixture('expected.json'))) as {
  a: number[];
  half: (number | 'inf')[];
};
const a = expected.a.map(Math.fround);
const half = expected.half.map((x) => (x === 'inf' ? Infinity : x));

describe('npy files of NumPy', () => {
  it.each(['c_f4.npy', 'fortran_f8.npy', 'big_endian_f4.npy', 'version2.npy'])(
    'reads %s whole and by row',
    async (name) => {
      const array = await readNpy(await fixture(name));
      expect(array.shape).toEqual([7, 5]);
      expect([...array.data]).toEqual(a);
      const rows = await npyRows(await fixture(name));
      expect([rows.width, rows.length]).toEqual([5, 7]);
      expect([...(await readRows(rows, 2, 5)).data]).toEqual(a.slice(10, 25));
    },
  );

  it('reads halves, integers, booleans, scalars and nothing', async () => {
    expect([...(await readNpy(await fixture('half.npy'))).data]).toEqual(half);
    expect([...(await readNpy(await fixture('big_endian_half.npy'))).data]).toEqual(half);
    expect([...(await readNpy(await fixture('i8.npy'))).data]).toEqual([-5, 2 ** 40, 3, 4]);
    expect([...(await readNpy(await fixture('u1.npy'))).data]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...(await readNpy(await fixture('bool.npy'))).data]).toEqual([1, 0]);
    expect(await readNpy(await fixture('scalar.npy'))).toEqual({ shape: [], data: Float32Array.of(3.5) });
    expect((await npyRows(await fixture('empty.npy'))).length).toBe(0);
  });

  it('turns three dimensions of Fortran order into C order', async () => {
    const { shape, data } = await readNpy(await fixture('fortran_3d.npy'));
    expect(shape).toEqual([2, 3, 4]);
    expect([...data]).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  it('writes what it reads', async () => {
    const data = Float32Array.from(a);
    expect(await readNpy(encodeNpy(data, [7, 5]))).toEqual({ shape: [7, 5], data });
    // the same bytes as NumPy
    expect(Buffer.from(encodeNpy(data, [7, 5])).equals(Buffer.from(await fixture('c_f4.npy')))).toBe(true);
  });
});

describe('npz archives of NumPy', () => {
  it.each(['plain.npz', 'deflated.npz'])('reads %s', async (name) => {
    const npz = await readNpz(await fixture(name));
    expect(npz.names).toContain('acts');
    expect([...(await npz.read('acts')).data]).toEqual(a);
    expect([...(await readRows(await npz.rows('acts'), 6, 7)).data]).toEqual(a.slice(30));
    expect((await errorOf(() => npz.read('none'))).message).toMatch(/no array "none"; it has: acts, /);
  });

  it('writes what it reads', async () => {
    const arrays = {
      x: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] },
      i: { data: Int32Array.of(5), shape: [1] },
    };
    for (const compress of [false, true]) {
      const npz = await readNpz(encodeNpz(arrays, { compress }));
      expect(await npz.read('x')).toEqual({ shape: [2, 2], data: arrays.x.data });
      expect([...(await npz.read('i')).data]).toEqual([5]);
    }
  });

  it('knows the CRC-32 of the standard', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  });
});

/** A npy file with the given header text. */
function npy(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(10 + header.length + data.length);
  const text = `\x93NUMPY\x01\x00${String.fromCharCode(header.length & 255, header.length >> 8)}${header}`;
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  bytes.set(data, 10 + header.length);
  return bytes;
}

describe('hostile npy files', () => {
  const dict = (descr: string, shape: string, order = 'False'): string =>
    `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /it has 0 bytes/],
    ['another magic', new Uint8Array(20), /magic \(byte 0\)/],
    ['version 9', Uint8Array.of(0x93, 78, 85, 77, 80, 89, 9, 0, 0, 0, 0, 0), /version 9 \(byte 6\)/],
    [
      'a header beyond the file',
      Uint8Array.of(0x93, 78, 85, 77, 80, 89, 1, 0, 255, 255),
      /claims 65535 bytes, but only 0 follow/,
    ],
    [
      'a header of 4 GB',
      Uint8Array.of(0x93, 78, 85, 77, 80, 89, 2, 0, 255, 255, 255, 255),
      /claims 4294967295 bytes; at most/,
    ],
    ['code instead of a dict', npy('__import__("os").system("true")'), /is not a dict/],
    ['code inside the dict', npy(dict("'<f4'", '(exit(),)')), /cannot be understood near/],
    ['a missing field', npy("{'descr': '<f4', 'shape': (1,)}"), /lacks descr, fortran_order or shape/],
    [
      'a field twice',
      npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (0,)}"),
      /names descr twice/,
    ],
    ['an unknown field', npy("{'descr': '<f4', 'x': '1'}"), /field x is not expected/],
    ['an unknown type', npy(dict("'<c8'", '(0,)')), /descr "<c8" is not one of/],
    ['a shape of 2^63', npy(dict("'<f4'", '(9223372036854775808,)')), /is not a tuple of whole numbers/],
    [
      'a shape whose product overflows',
      npy(dict("'<f4'", '(4294967296, 4294967296)')),
      /needs .* bytes, but 0 follow/,
    ],
    ['too few data', npy(dict("'<f4'", '(2,)'), new Uint8Array(4)), /needs 8 bytes, but 4 follow/],
    ['too many data', npy(dict("'<f4'", '(2,)'), new Uint8Array(9)), /needs 8 bytes, but 9 follow/],
  ];
  it.each(cases)('%s', async (_, bytes, message) => {
    const error = await errorOf(() => readNpy(bytes, { name: 'bad.npy' }));
    expect(error.message).toMatch(/^bad\.npy: not a valid npy file: /);
    expect(error.message).toMatch(message);
  });

  it('refuses pickled objects and structured types', async () => {
    expect((await errorOf(async () => readNpy(await fixture('object.npy')))).message).toMatch(
      /never unpickled/,
    );
    expect((await errorOf(async () => readNpy(await fixture('structured.npy')))).message).toMatch(
      /structured types/,
    );
  });

  it('asks for two dimensions when rows are wanted', async () => {
    expect((await errorOf(async () => npyRows(await fixture('half.npy'), { name: 'f' }))).message).toMatch(
      /^f: shape \(9\)/,
    );
  });

  it('either reads a damaged file or says why not', async () => {
    await damaged(await fixture('fortran_f8.npy'), (bytes) => readNpy(bytes, { name: 'damaged' }));
    await damaged(await fixture('c_f4.npy'), async (bytes) =>
      readRows(await npyRows(bytes, { name: 'damaged' })),
    );
  });
});

describe('hostile npz archives', () => {
  const zeros = encodeNpy(new Float32Array(250_000), [250_000, 1]); // 1 MB that deflates to about 1 KB

  it('refuses an entry that claims more than deflate can give, before it is allocated', async () => {
    const archive = zipSync({ 'acts.npy': [zeros, { level: 9 }] });
    const central = indexOf(archive, [0x50, 0x4b, 1, 2]);
    new DataView(archive.buffer, archive.byteOffset).setUint32(central + 24, 0xfffffffe, true);
    const npz = await readNpz(archive, { name: 'bomb.npz' });
    const before = process.memoryUsage().arrayBuffers;
    const error = await errorOf(() => npz.read('acts'));
    expect(error.message).toMatch(
      /^bomb\.npz:acts\.npy: it claims that \d+ bytes expand to 4294967294; deflate cannot/,
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6);
  });

  it('stops when an entry expands to more, or to less, than it claims', async () => {
    for (const [size, message] of [
      [1000, /expands to more than the 1000 bytes/],
      [zeros.length + 1, /not the 1000129 it claims/],
    ] as const) {
      const archive = zipSync({ 'acts.npy': [zeros, { level: 9 }] });
      new DataView(archive.buffer, archive.byteOffset).setUint32(
        indexOf(archive, [0x50, 0x4b, 1, 2]) + 24,
        size,
        true,
      );
      const npz = await readNpz(archive);
      expect((await errorOf(() => npz.read('acts'))).message).toMatch(message);
    }
  });

  it('notices altered data by its CRC-32', async () => {
    const data = Float32Array.from({ length: 2000 }, (_, i) => Math.sin(i));
    const archive = zipSync({ 'acts.npy': [encodeNpy(data, [2000, 1]), { level: 0 }] });
    const stored = await readNpz(archive);
    expect((await stored.read('acts')).data).toEqual(data); // stored entries are windows: lazily read, unchecked
    const deflated = zipSync({ 'acts.npy': [encodeNpy(data, [2000, 1]), { level: 6 }] });
    const central = indexOf(deflated, [0x50, 0x4b, 1, 2]);
    deflated[central + 16]! ^= 1;
    const npz = await readNpz(deflated);
    expect((await errorOf(() => npz.read('acts'))).message).toMatch(/CRC-32 does not match/);
  });

  it('either reads a damaged archive or says why not', async () => {
    for (const name of ['plain.npz', 'deflated.npz']) {
      await damaged(await fixture(name), async (bytes) => {
        const npz = await readNpz(bytes, { name: 'damaged' });
        for (const array of npz.names) await npz.read(array);
      });
    }
  });
});

function indexOf(bytes: Uint8Array, pattern: number[]): number {
  return bytes.findIndex((_, i) => pattern.every((byte, k) => bytes[i + k] === byte));
}

/** Truncates and edits a good file: a reader may succeed, else throws one Error that names the file. */
async function damaged(good: Uint8Array, read: (bytes: Uint8Array) => Promise<unknown>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.option(fc.nat(good.length)),
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }),
      async (length, edits) => {
        const bytes = good.slice(0, length ?? good.length);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        try {
          await read(bytes);
        } catch (error) {
          expect((error as Error).constructor).toBe(Error);
          expect((error as Error).message).toMatch(/^damaged/);
        }
      },
    ),
    { numRuns: 300 },
  );
}
