import { readFileSync } from 'node:fs';
import { isMsaeError } from '@msae/schema';
import fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { createTokenizer, filesFolder, openWeights } from '../../src/index.ts';
import { ggufTokenizerJson } from '../../src/weights/gguf/ggufTokenizer.ts';
import { readGguf } from '../../src/weights/gguf/readGguf.ts';
import { fixtures } from './models.ts';

const good = new Uint8Array(readFileSync(`${fixtures}/llama-mixed.gguf`));
const options = { runtime: ort };

/** A GGUF of version 3 with no metadata and these tensors. */
function written(
  tensors: { name: string; shape: (number | bigint)[]; type: number; offset: number }[],
  data: number,
): Uint8Array {
  const parts: number[] = [];
  const u32 = (n: number) => parts.push(...new Uint8Array(new Uint32Array([n]).buffer));
  const u64 = (n: number | bigint) => parts.push(...new Uint8Array(new BigUint64Array([BigInt(n)]).buffer));
  u32(0x46554747);
  u32(3);
  u64(tensors.length);
  u64(0);
  for (const { name, shape, type, offset } of tensors) {
    u64(name.length);
    parts.push(...new TextEncoder().encode(name));
    u32(shape.length);
    for (const n of shape) u64(n);
    u32(type);
    u64(offset);
  }
  while (parts.length % 32 !== 0) parts.push(0);
  return Uint8Array.from([...parts, ...new Uint8Array(data)]);
}

const refused = (bytes: Uint8Array) =>
  readGguf(bytes, 'x.gguf').then(
    () => 'read',
    (error: unknown) => error,
  );

describe('a GGUF that is damaged', () => {
  it('is refused wherever it is cut, with one error of the family', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: good.length - 1 }), async (length) => {
        const error = await refused(good.subarray(0, length));
        expect(isMsaeError(error, 'file'), String(error)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('gives an error of the family or a model, whatever its header says, and allocates no more than its size', async () => {
    const headerBytes = (await readGguf(good)).headerBytes;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: headerBytes - 1 }), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 6,
        }),
        async (changes) => {
          const bytes = good.slice();
          for (const [at, value] of changes) bytes[at] = value;
          const before = process.memoryUsage().arrayBuffers;
          const outcome = await openWeights(bytes, options).then(
            (model) => model.close(),
            (error: unknown) => error,
          );
          expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64e6);
          if (outcome !== undefined) expect(isMsaeError(outcome), String(outcome)).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(['smollm', 'spm'])(
    'gives a tokenizer or an error of the family, whatever its vocabulary says: %s',
    async (name) => {
      const vocabulary = new Uint8Array(readFileSync(`${fixtures}/vocab-${name}.gguf`));
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.tuple(fc.integer({ min: 24, max: vocabulary.length - 1 }), fc.integer({ min: 0, max: 255 })),
            {
              minLength: 1,
              maxLength: 8,
            },
          ),
          async (changes) => {
            const bytes = vocabulary.slice();
            for (const [at, value] of changes) bytes[at] = value;
            try {
              const { metadata } = await readGguf(bytes, 'x.gguf');
              createTokenizer(ggufTokenizerJson(metadata, 'x.gguf'));
            } catch (error) {
              expect(isMsaeError(error), String(error)).toBe(true);
            }
          },
        ),
        { numRuns: 150 },
      );
    },
  );

  it.each([
    [
      'counts beyond the file',
      [0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0, ...Array<number>(6).fill(255), 0, 0, ...Array<number>(8).fill(0)],
      /281474976710655 tensors .* are claimed, but the file ends/,
    ],
    [
      'counts that are no safe integers',
      [0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0, ...Array<number>(16).fill(255)],
      /the number of tensors at byte 8/,
    ],
    [
      'another file',
      [...new TextEncoder().encode('PK and more than twenty-four bytes')],
      /does not begin with "GGUF"/,
    ],
    [
      'version 1',
      [0x47, 0x47, 0x55, 0x46, 1, 0, 0, 0, ...Array<number>(16).fill(0)],
      /GGUF version 1; versions 2 and 3/,
    ],
    ['big-endian numbers', [0x47, 0x47, 0x55, 0x46, 0, 0, 0, 3, ...Array<number>(16).fill(0)], /big-endian/],
  ])('says what is wrong: %s', async (_, bytes, message) => {
    await expect(readGguf(Uint8Array.from(bytes))).rejects.toThrow(message);
  });

  it.each([
    [
      'tensors that overlap',
      [
        { name: 'a', shape: [32], type: 0, offset: 0 },
        { name: 'b', shape: [32], type: 0, offset: 96 },
      ],
      /tensors a and b overlap at byte/,
    ],
    [
      'a tensor beyond the end',
      [{ name: 'a', shape: [1024], type: 0, offset: 0 }],
      /tensor a \(F32 \[1024\]\) ends at byte/,
    ],
    [
      'a tensor that is there twice',
      [
        { name: 'a', shape: [32], type: 0, offset: 0 },
        { name: 'a', shape: [32], type: 0, offset: 128 },
      ],
      /tensor a is there twice/,
    ],
    [
      'too many elements',
      [{ name: 'a', shape: [2 ** 40, 2 ** 40], type: 0, offset: 0 }],
      /tensor a: shape .* too many elements/,
    ],
    ['no elements', [{ name: 'a', shape: [0], type: 0, offset: 0 }], /no or too many elements/],
    [
      'an unknown type',
      [{ name: 'a', shape: [32], type: 77, offset: 0 }],
      /tensor a has the unknown type 77/,
    ],
    [
      'rows that are no blocks',
      [{ name: 'a', shape: [33], type: 2, offset: 0 }],
      /rows of 33 elements do not divide into blocks of 32/,
    ],
    [
      'an offset out of line',
      [{ name: 'a', shape: [32], type: 0, offset: 7 }],
      /offset 7 is no multiple of the alignment 32/,
    ],
    [
      'seven dimensions',
      [{ name: 'a', shape: [1, 1, 1, 1, 1, 1, 1], type: 0, offset: 0 }],
      /7 dimensions; expected 1 to 4/,
    ],
  ])('says what is wrong: %s', async (_, tensors, message) => {
    await expect(readGguf(written(tensors, 256))).rejects.toThrow(message);
  });
});

describe('a folder that is not what it has to be', () => {
  const config = JSON.parse(readFileSync(`${fixtures}/llama/config.json`, 'utf8')) as Record<string, unknown>;
  const weights = new Uint8Array(readFileSync(`${fixtures}/llama/model.safetensors`));
  const folder = (changes: object, more: Record<string, Uint8Array> = { 'model.safetensors': weights }) =>
    openWeights(
      filesFolder({
        'config.json': new TextEncoder().encode(JSON.stringify({ ...config, ...changes })),
        ...more,
      }),
      options,
    );

  it('opens when it is', async () => {
    expect((await folder({})).architecture.layers).toBe(2);
  });

  it.each([
    [{ model_type: 'mamba' }, 'unsupported', /model_type mamba is not built from weights; those of llama/],
    [{ hidden_size: 'wide' }, 'file', /config\.json: hidden_size: expected a whole number from 1 to/],
    [{ num_hidden_layers: 3 }, 'file', /tensor blk\.2\.attn_norm\.weight is missing/],
    [{ num_hidden_layers: 1e9 }, 'file', /num_hidden_layers: expected a whole number/],
    [{ intermediate_size: 999, num_key_value_heads: 4 }, 'file', /has shape \[16, 32\]; expected \[32, 32\]/],
    [{ num_attention_heads: 3 }, 'file', /3 heads do not share 2 key heads evenly/],
    [{ num_attention_heads: 4, num_key_value_heads: 3 }, 'file', /4 heads do not share 3 key heads evenly/],
    [{ head_dim: 7 }, 'file', /rope of 7 dimensions, where a head has 7; expected an even number/],
    [{ hidden_act: 'relu6' }, 'unsupported', /hidden_act relu6; silu/],
    [
      { rope_parameters: { rope_type: 'yarn', factor: 2 } },
      'unsupported',
      /rope of type yarn; default, linear/,
    ],
    [{ quantization_config: { quant_method: 'gptq' } }, 'unsupported', /quantization_config/],
  ])('says what is wrong with %o', async (changes, code, message) => {
    const error = await folder(changes).catch((cause: unknown) => cause);
    expect(String(error)).toMatch(message);
    expect(isMsaeError(error, code as 'file')).toBe(true);
  });

  it('names what is missing', async () => {
    await expect(openWeights(filesFolder({}), options)).rejects.toThrow(/there is no config\.json/);
    await expect(folder({}, {})).rejects.toThrow(
      /there is no model\.safetensors and no model\.safetensors\.index\.json/,
    );
    const index = new TextEncoder().encode(JSON.stringify({ weight_map: { a: 'model-1.safetensors' } }));
    await expect(folder({}, { 'model.safetensors.index.json': index })).rejects.toThrow(
      /there is no model-1\.safetensors, which/,
    );
    const outside = new TextEncoder().encode(JSON.stringify({ weight_map: { a: '../x.safetensors' } }));
    await expect(folder({}, { 'model.safetensors.index.json': outside })).rejects.toThrow(
      /weight_map: expected names of files beside it/,
    );
    await expect(
      openWeights(filesFolder({ 'config.json': new TextEncoder().encode('{') }), options),
    ).rejects.toThrow(/config\.json: not JSON/);
  });

  it('names an option that does not exist', async () => {
    await expect(openWeights(good, { runtime: ort, dequantized: true } as never)).rejects.toThrow(
      /no option dequantized \(did you mean dequantised\?\)/,
    );
  });
});
