/**
 * A tokenizer.json out of a GGUF's metadata. Byte-level BPE ("gpt2") with the ways of splitting that llama.cpp calls by name,
 * and SentencePiece BPE ("llama"), whose merges follow from the scores.
 */
import { msaeError } from '@msae/schema';
import { type Fields, fieldsOf } from '../fields.ts';
import type { MetadataValue } from './metadata.ts';

const contractions = "'s|'t|'re|'ve|'m|'ll|'d";
const anyContraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/** Words of GPT-2. */
const gpt2Words = `${contractions}| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`;
const later = (digits: string): string =>
  `${anyContraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const upper = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}';
const lower = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';
const tekkenWords = `[^\\r\\n\\p{L}\\p{N}]?[${upper}]*[${lower}]+|[^\\r\\n\\p{L}\\p{N}]?[${upper}]+[${lower}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

interface Splitting {
  readonly words: string;
  /** Digits are tokens of their own before words are looked for. */
  readonly digits?: boolean;
  /** Unicode is composed first. */
  readonly composed?: boolean;
  /** A word that is a token is not merged from its parts. */
  readonly wholeWords?: boolean;
  /** Contexts begin with the token for the start of a text, unless the file says otherwise. */
  readonly starts?: boolean;
}

const gpt2: Splitting = { words: gpt2Words };
const digitwise: Splitting = { words: gpt2Words, digits: true };
const qwen: Splitting = { words: later('\\p{N}'), composed: true };
const llama3: Splitting = { words: later('\\p{N}{1,3}'), wholeWords: true, starts: true };

const splittings: Readonly<Record<string, Splitting>> = {
  'gpt-2': gpt2,
  'phi-2': gpt2,
  olmo: gpt2,
  mpt: gpt2,
  smollm: digitwise,
  starcoder: digitwise,
  refact: digitwise,
  'command-r': digitwise,
  qwen2: qwen,
  'deepseek-r1-qwen': qwen,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  smaug: llama3,
  'smaug-bpe': llama3,
  tekken: { words: tekkenWords, wholeWords: true, starts: true },
};

/** What a token is, in `tokenizer.ggml.token_type`. */
const control = 3;
const userDefined = 4;

/**
 * Contents of a tokenizer.json.
 *
 * @throws MsaeError `unsupported` for tokenizers of another kind; `file` for fields that are not what they have to be
 */
export function ggufTokenizerJson(metadata: ReadonlyMap<string, MetadataValue>, name: string): object {
  const fields = fieldsOf(name, (field) => metadata.get(`tokenizer.ggml.${field}`), 'tokenizer.ggml.');
  const tokens = texts(fields, 'tokens');
  const kind = fields.text('model');
  if (kind !== 'gpt2' && kind !== 'llama') {
    throw msaeError('unsupported', `${name}: a tokenizer of the kind ${kind}; gpt2 and llama are read`, {
      file: name,
      field: 'tokenizer.ggml.model',
    });
  }
  const types = fields.get('token_type') as ArrayLike<number> | undefined;
  const added = tokens.flatMap((content, id) => {
    const type = types?.[id];
    if (type !== control && type !== userDefined) return [];
    const special = type === control;
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
  const parts = kind === 'gpt2' ? byteLevel(fields, tokens) : sentencePiece(fields, tokens);
  return { version: '1.0', truncation: null, padding: null, added_tokens: added, ...parts };
}

function texts(fields: Fields, field: string): readonly string[] {
  const values = fields.get(field);
  if (Array.isArray(values) && values.length > 0 && typeof values[0] === 'string') return values as string[];
  throw msaeError('file', `${fields.name}: tokenizer.ggml.${field}: expected a list of texts`, {
    file: fields.name,
    field: `tokenizer.ggml.${field}`,
  });
}

const vocabularyOf = (tokens: readonly string[]): Record<string, number> => {
  const vocabulary: Record<string, number> = Object.create(null);
  tokens.forEach((token, id) => {
    vocabulary[token] = id;
  });
  return vocabulary;
};

/** Puts the token for the start of a text in front, where it is wanted. */
function startOf(fields: Fields, tokens: readonly string[], usual: boolean): object | null {
  const id = fields.get('bos_token_id');
  const token = typeof id === 'number' ? tokens[id] : undefined;
  if (token === undefined || !fields.flag('add_bos_token', usual)) return null;
  return {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [
      { SpecialToken: { id: token, type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { Sequence: { id: 'B', type_id: 1 } },
    ],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

function byteLevel(fields: Fields, tokens: readonly string[]): object {
  const pre = fields.text('pre', 'gpt-2');
  const splitting = splittings[pre];
  if (splitting === undefined) {
    throw msaeError(
      'unsupported',
      `${fields.name}: a tokenizer that splits texts as ${pre} does; ${Object.keys(splittings).join(', ')} are known. Use the model's tokenizer.json`,
      { file: fields.name, field: 'tokenizer.ggml.pre' },
    );
  }
  const { words, digits, composed, wholeWords = false, starts = false } = splitting;
  const split = { type: 'Split', pattern: { Regex: words }, behavior: 'Isolated', invert: false };
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: composed ? { type: 'NFC' } : null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [...(digits ? [{ type: 'Digits', individual_digits: true }] : []), split, bytes],
    },
    post_processor: startOf(fields, tokens, starts),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: wholeWords,
      vocab: vocabularyOf(tokens),
      merges: texts(fields, 'merges').map((merge) => {
        const at = merge.indexOf(' ', 1);
        if (at < 0) {
          throw msaeError(
            'file',
            `${fields.name}: tokenizer.ggml.merges: expected pairs, got ${JSON.stringify(merge).slice(0, 80)}`,
            {
              file: fields.name,
              field: 'tokenizer.ggml.merges',
            },
          );
        }
        return [merge.slice(0, at), merge.slice(at + 1)];
      }),
    },
  };
}

function sentencePiece(fields: Fields, tokens: readonly string[]): object {
  const scores = fields.get('scores') as ArrayLike<number> | undefined;
  if (scores?.length !== tokens.length) {
    throw msaeError('file', `${fields.name}: tokenizer.ggml.scores: expected one number a token`, {
      file: fields.name,
      field: 'tokenizer.ggml.scores',
    });
  }
  const prefixed = fields.flag('add_space_prefix', true);
  const unknown = tokens[fields.number('unknown_token_id', 0)] ?? null;
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const back = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    normalizer: prefixed
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] }
      : replace,
    pre_tokenizer: null,
    post_processor: startOf(fields, tokens, true),
    decoder: {
      type: 'Sequence',
      decoders: [back, { type: 'ByteFallback' }, { type: 'Fuse' }, ...(prefixed ? [strip] : [])],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: vocabularyOf(tokens),
      merges: mergesOf(tokens, scores),
    },
  };
}

/** Longer tokens are no words: nothing is merged into them. */
const longest = 1024;

/** Merges of a SentencePiece vocabulary: every way to make a token of two others, the best score first (`generate_merges` of transformers). */
function mergesOf(tokens: readonly string[], scores: ArrayLike<number>): string[][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: string; right: string; score: number; leftLength: number; rightLength: number }[] =
    [];
  tokens.forEach((token, id) => {
    if (token.length > longest) return;
    const letters = [...token];
    const found: typeof merges = [];
    let left = '';
    for (let i = 1; i < letters.length; i++) {
      left += letters[i - 1];
      const right = token.slice(left.length);
      if (!ids.has(left) || !ids.has(right)) continue;
      found.push({ left, right, score: scores[id]!, leftLength: i, rightLength: letters.length - i });
    }
    found.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    merges.push(...found);
  });
  merges.sort((a, b) => b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength);
  return merges.map(({ left, right }) => [left, right]);
}
