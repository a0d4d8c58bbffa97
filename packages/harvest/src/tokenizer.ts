/** Text to token ids, by a Hugging Face tokenizer.json. */

import { Tokenizer } from '@huggingface/tokenizers';
import { msaeError } from '@msae/schema';

export interface TextTokenizer {
  /** Number of tokens. */
  readonly size: number;
  encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array;
  decode(ids: ArrayLike<number>): string;
  /** A token by its spelling, e.g. `<|endoftext|>`. */
  idOf(token: string): number | undefined;
  /** Spelling of a token within a text: spaces are spaces. */
  textOf(id: number): string;
}

/**
 * @param json contents of tokenizer.json
 * @param config contents of tokenizer_config.json, where there is one
 * @throws when the JSON is not that of a tokenizer
 */
export function createTokenizer(json: object, config: object = {}, name = 'tokenizer.json'): TextTokenizer {
  if (typeof (json as { model?: unknown }).model !== 'object') {
    throw msaeError(
      'file',
      `${name}: not a tokenizer: it has no "model"; expected the tokenizer.json of a Hugging Face model`,
    );
  }
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, config);
  } catch (cause) {
    throw msaeError('file', `${name}: cannot be used as a tokenizer: ${(cause as Error).message}`, { cause });
  }
  return {
    size: tokenizer.get_vocab(true).size,
    encode: (text, { addSpecialTokens = true } = {}) =>
      Int32Array.from(tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids),
    decode: (ids) => tokenizer.decode(Array.from(ids)),
    idOf: (token) => tokenizer.token_to_id(token),
    textOf: (id) => tokenizer.decode([id]),
  };
}
