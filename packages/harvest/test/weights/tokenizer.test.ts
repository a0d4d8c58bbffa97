import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../src/index.ts';
import { ggufTokenizerJson } from '../../src/weights/gguf/ggufTokenizer.ts';
import { readGguf } from '../../src/weights/gguf/readGguf.ts';
import { fixtures } from './models.ts';

const cases = JSON.parse(readFileSync(`${fixtures}/tokenizers.json`, 'utf8')) as Record<
  string,
  [string, number[]][]
>;

describe('tokenizers out of a GGUF', () => {
  it.each(Object.keys(cases))('%s gives the ids that its own library gives', async (name) => {
    const { metadata } = await readGguf(readFileSync(`${fixtures}/vocab-${name}.gguf`), name);
    const tokenizer = createTokenizer(ggufTokenizerJson(metadata, name));
    for (const [text, ids] of cases[name]!) {
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(ids);
      const plain = tokenizer.encode(text, { addSpecialTokens: false });
      // composing (qwen2) changes a text; no ids are no text
      if (text !== '' && !text.includes('\u0301')) expect(tokenizer.decode(plain)).toBe(text);
    }
  });

  it('refuses a way of splitting texts that it does not know', async () => {
    const { metadata } = await readGguf(readFileSync(`${fixtures}/vocab-smollm.gguf`), 'x.gguf');
    const other = new Map(metadata).set('tokenizer.ggml.pre', 'poro-chat');
    expect(() => ggufTokenizerJson(other, 'x.gguf')).toThrow(
      /x\.gguf: a tokenizer that splits texts as poro-chat does; gpt-2, /,
    );
    other.set('tokenizer.ggml.model', 'bert');
    expect(() => ggufTokenizerJson(other, 'x.gguf')).toThrow(/of the kind bert; gpt2 and llama are read/);
  });
});
