import { readFileSync } from 'node:fs';
import { readSafetensors, typedView } from '@msae/data';
import { describe, expect, it } from 'vitest';
import { dequantise, quantisedGroups, quantisedTypes } from '../../src/weights/gguf/blocks.ts';
import { readGguf } from '../../src/weights/gguf/readGguf.ts';
import { fixtures } from './models.ts';

const types = readFileSync(`${fixtures}/types.gguf`);

describe('GGUF', async () => {
  const gguf = await readGguf(types, 'types.gguf');
  const expected = await readSafetensors(readFileSync(`${fixtures}/types.safetensors`));

  it('reads metadata of every kind', () => {
    expect(gguf.version).toBe(3);
    expect(gguf.metadata.get('test.words')).toEqual(['one', 'two', 'drei']);
    expect([...(gguf.metadata.get('test.numbers') as Float32Array)]).toEqual([1.5, -2]);
    expect(gguf.metadata.get('test.u64')).toBe(2 ** 40);
    expect(gguf.metadata.get('test.i32')).toBe(-5);
    expect(gguf.metadata.get('test.flag')).toBe(true);
  });

  it.each(quantisedTypes)('dequantises %s bit for bit as gguf-py does', async (name) => {
    const { type, shape, offset, byteLength } = gguf.tensors.get(name)!;
    expect(shape).toEqual([3, 512]);
    const bytes = await gguf.source.read(offset, byteLength);
    const values = dequantise(quantisedGroups(bytes, type, name));
    const wanted = (await expected.readTyped(name)) as Float32Array;
    expect(values.length).toBe(wanted.length);
    const bits = (array: Float32Array) => new Uint32Array(array.slice().buffer);
    expect(bits(values)).toEqual(bits(wanted));
  });

  it.each(['F32', 'F16', 'BF16'] as const)('reads %s', async (name) => {
    const { offset, byteLength } = gguf.tensors.get(name)!;
    const bytes = await gguf.source.read(offset, byteLength);
    expect(typedView(bytes, name).length).toBe(3 * 512);
  });
});
