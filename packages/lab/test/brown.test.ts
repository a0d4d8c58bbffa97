import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type HarvestedBatch, harvest } from '@msae/harvest';
import { openModelFile } from '@msae/harvest/node';
import { describe, expect, it } from 'vitest';
import { baseTag, brownLabels, brownTokens, readBrown, universalTag } from '../src/node.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const open = () => openModelFile(path('../../../examples/brown-lm/model'), { threads: 1 });
/** Token ids of held-out documents by the Python tokenizers library: tools/brown-lm/splice_reference.py. */
const expected = (
  JSON.parse(readFileSync(path('../../harvest/test/fixtures/splice.json'), 'utf8')) as {
    documents: number[][];
  }
).documents;

describe('the Brown corpus', () => {
  it('has the documents, words and tags it is known for', async () => {
    const documents = await readBrown();
    expect(documents).toHaveLength(500);
    const words = documents.reduce((sum, document) => sum + document.words.length, 0);
    const sentences = documents.reduce((sum, document) => sum + document.sentenceStarts.length, 0);
    expect([words, sentences]).toEqual([1_161_192, 57_340]); // as in NLTK's documentation
    expect(documents[0]!.words.slice(0, 4)).toEqual(['The', 'Fulton', 'County', 'Grand']);
    expect(documents[0]!.tags.slice(0, 4)).toEqual(['at', 'np-tl', 'nn-tl', 'jj-tl']);
    expect(documents.filter((document) => document.heldOut).map((document) => document.id % 10)).toEqual(
      Array(50).fill(9),
    );
  });

  it('tokenizes as the Python tokenizers library does', async () => {
    const { tokenizer } = await open();
    const heldOut = (await readBrown()).filter((document) => document.heldOut);
    expected.forEach((ids, i) => {
      const [document] = [...brownTokens([heldOut[i]!], tokenizer!)];
      expect(Array.from(document!.ids.subarray(0, ids.length))).toEqual(ids);
      const text = heldOut[i]!.words.join(' ');
      expect([0, ...tokenizer!.encode(text)]).toEqual(Array.from(document!.ids));
    });
    const tokens = [...brownTokens(heldOut, tokenizer!)];
    expect(tokens.reduce((sum, { ids }) => sum + ids.length, 0)).toBe(167_494 + 50);
  });

  it('labels the rows of a harvest with the tags of their words', async () => {
    const { model, tokenizer } = await open();
    const tokens = [...brownTokens((await readBrown()).slice(0, 3), tokenizer!)];
    const labels = brownLabels(tokens);
    let batch: HarvestedBatch | undefined;
    for await (batch of harvest(model, tokens, { taps: ['blocks.0.resid_post'], maxTokens: 2000 })) break;
    const found = labels.of(batch!);
    for (let row = 0; row < batch!.rows; row++) {
      const { document, wordOf } = tokens[batch!.docIds[row]!]!;
      const word = wordOf[batch!.positions[row]!]!;
      if (word < 0) expect([batch!.tokenIds[row], found[row]]).toEqual([0, -1]);
      else {
        expect(labels.names[found[row]!]).toBe(baseTag(document.tags[word]!));
        expect(document.words[word]).toContain(tokenizer!.textOf(batch!.tokenIds[row]!).trim());
      }
    }
    expect(() => labels.of({ docIds: [400], positions: [1] })).toThrow('were other documents harvested?');
  });

  it('takes the marks off tags', () => {
    expect(['nn-tl', 'np$-hl', 'fw-in-tl-hl', '--', '--hl', '*', "''", 'bez*'].map(baseTag)).toEqual([
      ...['nn', 'np$', 'in', '--', '-', '*', "''", 'bez*'],
    ]);
    expect(
      [
        'nn-tl',
        'vbd',
        'bez',
        'jjr',
        'ql',
        'ppss',
        'at',
        'in',
        'cs',
        'cd',
        'cc',
        'to',
        '.',
        '--',
        '(',
        'fw-nn',
      ].map(universalTag),
    ).toEqual('NOUN VERB VERB ADJ ADV PRON DET ADP ADP NUM CONJ PRT . . . X'.split(' '));
  });

  it('says so when it is not there', async () => {
    await expect(readBrown('/tmp')).rejects.toThrow('expected the 500 of the Brown corpus');
  });
});
