import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeSafetensors, readSafetensors, type TensorToWrite, writeSafetensors } from '../src/index.ts';
import { duplicateKey } from '../src/jsonKeys.ts';
import { openSafetensorsFile, writeSafetensorsFile } from '../src/node/index.ts';
import { errorOf } from './expectError.ts';

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(import.meta.dirname, 'fixtures', name)));

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'msae-safetensors-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** A file with the given header, whatever it says. */
function withHeader(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

describe('files of the Python library', () => {
  it('reads every dtype', async () => {
    const file = await readSafetensors(await fixture('numpy.safetensors'));
    const expected = JSON.parse(new TextDecoder().decode(await fixture('expected.json'))) as {
      a: number[];
      half: (number | 'inf')[];
    };
    expect(file.metadata).toEqual({ made_by: 'numpy' });
    expect([...(await file.read('weight'))]).toEqual(expected.a.map(Math.fround));
    expect(file.info('weight').shape).toEqual([7, 5]);
    expect([...(await file.read('c.f16'))]).toEqual(expected.half.map((x) => (x === 'inf' ? Infinity : x)));
    expect(await file.readTyped('b.f64')).toEqual(Float64Array.of(0, 1, 2));
    expect(await file.readTyped('i64')).toEqual(BigInt64Array.of(1n, -(2n ** 40n)));
    expect([...(await file.read('i64'))]).toEqual([1, -(2 ** 40)]);
    expect(await file.readTyped('i32')).toEqual(Int32Array.of(1, -2, 3, 4));
    expect(await file.readTyped('i16')).toEqual(Int16Array.of(-7));
    expect(await file.readTyped('i8')).toEqual(Int8Array.of(-3, 3));
    expect([...(await file.readTyped('u8'))]).toEqual([0, 255, 7]);
    expect([...(await file.read('flag'))]).toEqual([1, 0]);
    expect(await file.readNumber('scalar')).toBe(2.5);
    expect(await file.read('empty')).toHaveLength(0);
    const rows = await file.readRows('weight', 2, 4);
    expect([...rows]).toEqual(expected.a.slice(10, 20).map(Math.fround));
  });

  it('reads bfloat16 of PyTorch', async () => {
    const file = await readSafetensors(await fixture('bf16.safetensors'));
    // the nearest bfloat16 of 3e38 and .1, from their bit patterns 0x7F62 and 0x3DCD
    expect([...(await file.read('w'))]).toEqual(
      [1, -2.5, 1.765625 * 2 ** 127, 1.6015625 * 2 ** -4].map(Math.fround),
    );
  });

  it('writes the same bytes as the Python library', async () => {
    const original = await fixture('numpy.safetensors');
    const file = await readSafetensors(original);
    const tensors: TensorToWrite[] = [];
    for (const { name, dtype, shape } of [...file.tensors.values()].reverse()) {
      tensors.push({ name, dtype, shape, data: await file.readTyped(name) });
    }
    const written = await encodeSafetensors(tensors, { metadata: file.metadata });
    expect(Buffer.from(written).equals(Buffer.from(original))).toBe(true);
  });
});

describe('writing', () => {
  it('writes chunks given lazily, converts floats, and reads them back', async () => {
    const path = join(directory, 'lazy.safetensors');
    await writeSafetensorsFile(path, [
      {
        name: 'lazy',
        dtype: 'BF16',
        shape: [3, 2],
        async *data() {
          for (let row = 0; row < 3; row++) yield Float32Array.of(row, -row);
        },
      },
      { name: '10', shape: [2], data: Int32Array.of(7, 8) },
    ]);
    const file = await openSafetensorsFile(path);
    expect([...(await file.read('lazy'))]).toEqual([0, -0, 1, -1, 2, -2]);
    expect([...(await file.read('10'))]).toEqual([7, 8]);
    await file.close();
  });

  it('streams a file larger than it holds in memory', async () => {
    // 3 GB of one tensor through a sink that counts: offsets beyond 2^31, one 4 MB chunk in memory
    const chunk = new Float32Array(1 << 20);
    const elements = 750 * chunk.length;
    let bytes = 0;
    let head: Uint8Array | undefined;
    const tensor = {
      name: 'big',
      dtype: 'F32',
      shape: [elements],
      data: () => Array.from({ length: 750 }, () => chunk),
    } as const;
    const total = await writeSafetensors(
      {
        write(part) {
          head ??= part.slice();
          bytes += part.byteLength;
        },
      },
      [tensor, { name: 'after', shape: [1], data: Uint8Array.of(1) }],
    );
    expect(bytes).toBe(total);
    const source = {
      name: 'sparse',
      size: total,
      read: async (offset: number, length: number) =>
        offset < head!.length ? head!.subarray(offset, offset + length) : new Uint8Array(length).fill(9),
    };
    const file = await readSafetensors(source);
    expect(file.info('after').offset).toBe(total - 1);
    expect(await file.readNumber('after')).toBe(9);
  });

  it('says what is wrong with tensors that do not fit their shape', async () => {
    const cases: [TensorToWrite, RegExp][] = [
      [
        { name: 'w', shape: [2], data: Float32Array.of(1) },
        /tensor w: F32 of shape \[2\] needs 8 bytes, got only 4/,
      ],
      [{ name: 'w', shape: [1], data: Float32Array.of(1, 2) }, /needs 4 bytes, got more/],
      [
        { name: 'w', shape: [1], dtype: 'I32', data: Float32Array.of(1) },
        /a Float32Array cannot be written as I32/,
      ],
      [{ name: 'w', shape: [-1], data: Float32Array.of() }, /shape \[-1\]/],
      [{ name: 'w', shape: [1], data: () => [] }, /needs its dtype named/],
      [{ name: '__metadata__', shape: [0], data: Float32Array.of() }, /cannot be named/],
    ];
    for (const [tensor, message] of cases) {
      const error = await errorOf(() => encodeSafetensors([tensor]));
      expect(error.message).toMatch(message);
    }
    const twice = { name: 'w', shape: [0], data: Float32Array.of() };
    expect((await errorOf(() => encodeSafetensors([twice, twice]))).message).toMatch(/given twice/);
  });

  it('leaves the former file untouched when writing fails', async () => {
    const path = join(directory, 'kept.safetensors');
    await writeSafetensorsFile(path, [{ name: 'w', shape: [1], data: Float32Array.of(5) }]);
    const before = await stat(path);
    await errorOf(() => writeSafetensorsFile(path, [{ name: 'w', shape: [2], data: Float32Array.of(1) }]));
    expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
    const file = await openSafetensorsFile(path);
    expect(await file.readNumber('w')).toBe(5);
    await file.close();
  });

  it('round-trips any tensors', async () => {
    const tensor = fc.record({
      name: fc.string({ maxLength: 12 }).filter((name) => name !== '__metadata__'),
      data: fc.float32Array({ maxLength: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(tensor, { maxLength: 6, selector: ({ name }) => name }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 4 }),
        async (tensors, metadata) => {
          const bytes = await encodeSafetensors(
            tensors.map(({ name, data }) => ({ name, shape: [data.length], data })),
            { metadata },
          );
          expect(bytes.length % 4).toBe(0);
          const file = await readSafetensors(bytes);
          expect(Object.entries(file.metadata).sort()).toEqual(Object.entries(metadata).sort());
          for (const { name, data } of tensors) expect(await file.read(name)).toEqual(data);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('hostile files', () => {
  const f32 = (shape: unknown, offsets: unknown): unknown => ({ dtype: 'F32', shape, data_offsets: offsets });
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /it has 0 bytes.*\(byte 0\)/],
    ['a header length of 2^63', withLength(2n ** 63n), /byte 0\) claims 9223372036854775808 bytes/],
    ['a header length over the cap', withLength(25_000_001n), /at most 25000000/],
    ['a header length beyond the file', withLength(100n), /claims 100 bytes, but only 8 follow.*truncated/],
    ['text that is not JSON', withHeader('{"a":'), /the header \(byte 8\) is not JSON/],
    [
      'bytes that are not UTF-8',
      withHeader('').length ? Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff) : new Uint8Array(),
      /is not JSON/,
    ],
    ['a list', withHeader([]), /not a JSON object/],
    [
      'a name twice',
      withHeader(
        '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      ),
      /names "a" twice/,
    ],
    ['a name twice, escaped', withHeader('{"a":1,"\\u0061":2}'), /names "a" twice/],
    ['a field twice', withHeader('{"a":{"dtype":"F32","dtype":"U8"}}'), /names "dtype" twice/],
    [
      'an unknown dtype',
      withHeader({ w: { dtype: 'F8_E4M3', shape: [1], data_offsets: [0, 1] } }),
      /tensor "w": dtype "F8_E4M3" is not one of F64/,
    ],
    [
      'a dtype of the prototype',
      withHeader({ w: { dtype: 'toString', shape: [0], data_offsets: [0, 0] } }),
      /dtype "toString"/,
    ],
    ['a negative shape', withHeader({ w: f32([-1], [0, 4]) }), /shape \[-1\]/],
    [
      'a shape of 2^63',
      withHeader({ w: f32([2 ** 63], [0, 4]) }, new Uint8Array(4)),
      /shape \[9223372036854776000\]/,
    ],
    [
      'a shape whose product overflows',
      withHeader({ w: f32([2 ** 30, 2 ** 30, 2 ** 30], [0, 4]) }, new Uint8Array(4)),
      /span 4 bytes, but F32/,
    ],
    [
      'offsets of 2^63',
      withHeader({ w: f32([1], [2 ** 63, 2 ** 63 + 4]) }),
      /data_offsets \[9223372036854776000/,
    ],
    [
      'offsets that end before they begin',
      withHeader({ w: f32([1], [8, 4]) }, new Uint8Array(8)),
      /end before they begin/,
    ],
    [
      'offsets that do not fit the shape',
      withHeader({ w: f32([2], [0, 4]) }, new Uint8Array(4)),
      /span 4 bytes, but F32 of shape \[2\] needs 8/,
    ],
    [
      'overlapping tensors',
      withHeader({ a: f32([2], [0, 8]), b: f32([2], [4, 12]) }, new Uint8Array(12)),
      /tensor "b": data_offsets overlaps/,
    ],
    [
      'a hole',
      withHeader({ a: f32([1], [0, 4]), b: f32([1], [8, 12]) }, new Uint8Array(12)),
      /leaves a hole/,
    ],
    [
      'a tensor beyond the end',
      withHeader({ a: f32([4], [0, 16]) }, new Uint8Array(12)),
      /end at byte \d+, but the file has \d+; it is truncated/,
    ],
    [
      'bytes left over',
      withHeader({ a: f32([1], [0, 4]) }, new Uint8Array(5)),
      /1 bytes after the last tensor/,
    ],
    ['a tensor that is a number', withHeader({ a: 1 }), /tensor "a": expected an object/],
    [
      'metadata that is not strings',
      withHeader({ __metadata__: { a: 1 } }),
      /__metadata__\.a must be a string/,
    ],
  ];
  function withLength(length: bigint): Uint8Array {
    const file = new Uint8Array(16);
    new DataView(file.buffer).setBigUint64(0, length, true);
    return file;
  }
  it.each(cases)('%s', async (_, bytes, message) => {
    const error = await errorOf(() => readSafetensors(bytes, { name: 'bad.safetensors' }));
    expect(error.message).toMatch(/^bad\.safetensors: not a valid safetensors file: /);
    expect(error.message).toMatch(message);
  });

  it('names what there is when a tensor is missing', async () => {
    const file = await readSafetensors(await fixture('bf16.safetensors'), { name: 'f' });
    expect((await errorOf(() => file.read('W'))).message).toBe('f: there is no tensor "W"; it has: w');
    expect((await errorOf(() => file.readRows('w', 1, 3))).message).toMatch(
      /rows 0 to 2; \[1, 3\) is not within/,
    );
  });

  it('either reads a damaged file or says why not, without allocating more than it has', async () => {
    const good = await fixture('numpy.safetensors');
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length),
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
        async (length, edits) => {
          const bytes = good.slice(0, length < good.length / 2 ? good.length : length);
          for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
          let asked = 0;
          const source = {
            name: 'damaged',
            size: bytes.length,
            read: async (offset: number, n: number) => {
              expect(offset + n).toBeLessThanOrEqual(bytes.length);
              asked += n;
              return bytes.subarray(offset, offset + n);
            },
          };
          try {
            const file = await readSafetensors(source);
            for (const name of file.tensors.keys()) await file.read(name);
          } catch (error) {
            expect((error as Error).constructor).toBe(Error);
            expect((error as Error).message).toMatch(/^damaged: /);
          }
          expect(asked).toBeLessThanOrEqual(bytes.length);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('finds duplicate keys in any JSON', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(duplicateKey(json)).toBe(undefined);
        expect(duplicateKey(`{"x":${json},"y":[{"z":${json},"z":1}]}`)).toBe('z');
      }),
    );
  });
});
