import { existsSync, readFileSync } from 'node:fs';
import { fromBytes } from '@msae/data';
import { isMsaeError } from '@msae/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPickle } from '../src/containers/pickle.ts';
import { readNumbers, readTensor } from '../src/containers/storedTensor.ts';
import { readTorchFile, torchTensors } from '../src/containers/torchFile.ts';

interface Pickles {
  plain: Record<string, string>;
  hostile: Record<string, string>;
  torch: { zip: string; legacy: string; values: Record<string, unknown> };
}

// written by tools/interop/pickles.py
const pickles = JSON.parse(
  readFileSync(new URL('./fixtures/pickles.json', import.meta.url), 'utf8'),
) as Pickles;
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const cases = (table: Record<string, string>): [string, Uint8Array][] =>
  Object.entries(table).map(([name, hex]) => [name, bytesOf(hex)]);

describe('readPickle', () => {
  it.each(cases(pickles.plain))('reads plain data of %s', (name, bytes) => {
    const { value, end } = readPickle(bytes, { name: 'plain.pkl', globals: {} });
    const data = value as Map<string, unknown>;
    expect(end).toBe(bytes.byteLength);
    expect(data.get('text')).toBe('héllo');
    expect([data.get('small'), data.get('negative'), data.get('half')]).toEqual([7, -5, 0.5]);
    expect(data.get('big')).toBe(2 ** 40);
    expect(data.get('huge')).toBe(2n ** 70n);
    expect([data.get('none'), data.get('yes'), data.get('no')]).toEqual([null, true, false]);
    expect(data.get('list')).toEqual([1, [2, 'x'], new Map()]);
    expect(data.get('shared')).toBe(data.get('list'));
    expect(data.get('tuple')).toEqual([1, 2, 3, 4]);
    expect(data.get('pair')).toEqual([1, 2]);
    expect(data.get('empty')).toEqual([]);
    expect(data.get('long')).toBe('x'.repeat(300));
    if (!/[0-2]/.test(name)) expect(data.get('bytes')).toEqual(Uint8Array.of(97, 98));
  });

  it('keeps a key named __proto__ a key', () => {
    const text = '(dS__proto__\n'; // never a real dict: protocol 0 strings are quoted and unknown here
    expect(() => readPickle(new TextEncoder().encode(text), { name: 'x', globals: {} })).toThrow(/opcode/);
    const bytes = Uint8Array.of(0x7d, 0x8c, 9, ...new TextEncoder().encode('__proto__'), 0x4b, 1, 0x73, 0x2e);
    const { value } = readPickle(bytes, { name: 'x', globals: {} });
    expect((value as Map<string, unknown>).get('__proto__')).toBe(1);
    expect(Object.getPrototypeOf(value)).toBe(Map.prototype);
  });
});

describe('hostile files of torch.save', () => {
  it.each(cases(pickles.hostile))('refuses %s in one error and runs nothing', async (name, bytes) => {
    const error = await readTorchFile(fromBytes(bytes, 'evil.pt')).catch((caught: unknown) => caught);
    expect(isMsaeError(error, 'file')).toBe(true);
    expect(String(error)).toMatch(/evil\.pt.*found.*expected/s);
    if (/system/.test(name))
      expect(String(error)).toMatch(/(posix|nt|os)[.]system|opcode|expected a zip archive or a pickle/);
    if (/module/.test(name)) expect(String(error)).toContain('torch.nn.modules.linear.Linear');
    expect(existsSync('/tmp/msae-was-here')).toBe(false);
  });

  it('does not mistake names that every object has for allowed globals', async () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      const bytes = new TextEncoder().encode(`\x80\x02c${name}\nx\n.`.replace('\x80', '\x02'));
      bytes[0] = 0x80;
      expect(() => readPickle(bytes, { name: 'evil.pt', globals: {} })).toThrow(/refused and not executed/);
    }
  });

  it('survives any damage with a value or one clear error', async () => {
    const originals = [
      bytesOf(pickles.torch.zip),
      bytesOf(pickles.torch.legacy),
      bytesOf(pickles.plain['protocol 2']!),
    ];
    const damage = fc.record({
      which: fc.nat(originals.length - 1),
      edits: fc.array(
        fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })),
        { maxLength: 12 },
      ),
      keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ which, edits, keep }) => {
        const bytes = originals[which]!.slice(0, Math.floor(originals[which]!.length * keep));
        for (const [at, value] of edits) if (bytes.length) bytes[Math.floor(at * (bytes.length - 1))] = value;
        try {
          const { value } = await readTorchFile(fromBytes(bytes, 'damaged.pt'));
          if (!(value instanceof Map)) return;
          for (const tensor of torchTensors(value).values()) await readTensor(tensor);
        } catch (error) {
          if (!isMsaeError(error, 'file')) throw error;
        }
      }),
      { numRuns: 1500 },
    );
  });
});

describe('torch tensors', () => {
  it.each(['zip', 'legacy'] as const)('of every dtype and stride, from the %s format', async (kind) => {
    const { value } = await readTorchFile(fromBytes(bytesOf(pickles.torch[kind]), 'tensors.pt'));
    const tensors = torchTensors(value as Map<string, unknown>);
    expect([...tensors.keys()]).toEqual(Object.keys(pickles.torch.values));
    for (const [name, tensor] of tensors) {
      const expected = [pickles.torch.values[name]].flat(3) as number[];
      const asFloat = Array.from(await readTensor(tensor));
      expect(asFloat, name).toEqual(expected.map(Math.fround));
      expect(await readNumbers(tensor), name).toEqual(expected);
      if (tensor.shape.length === 2 && expected.length) {
        const [rows, columns] = tensor.shape as [number, number];
        const turned = Array.from(
          { length: rows * columns },
          (_, i) => expected[(i % rows) * columns + Math.floor(i / rows)]!,
        );
        expect(Array.from(await readTensor(tensor, { transpose: true })), name).toEqual(
          turned.map(Math.fround),
        );
      }
    }
  });
});
