/** Plain text to tokenized documents. */
import { msaeError } from '@msae/schema';
import type { TokenDocument } from './contexts.ts';
import type { TextTokenizer } from './tokenizer.ts';

/**
 * Decodes UTF-8 strictly.
 *
 * @throws when the bytes are not UTF-8, naming the first bad byte
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const offset = firstBadByte(bytes);
    throw msaeError(
      'file',
      `${name}: not UTF-8 text: byte ${offset} is 0x${(bytes[offset] ?? 0).toString(16)}; convert the file to UTF-8`,
      { cause },
    );
  }
}

/** Offset of the first byte of the first sequence that is not UTF-8. */
function firstBadByte(bytes: Uint8Array): number {
  const decodes = (end: number, stream: boolean): boolean => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end), { stream });
      return true;
    } catch {
      return false;
    }
  };
  let [good, bad] = [0, bytes.length + 1];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (decodes(middle, true)) good = middle;
    else bad = middle;
  }
  while (!decodes(good, false)) good -= 1; // up to three bytes of a sequence that does not end
  return good;
}

/** Tokenizes texts one at a time; document ids count from 0. Empty texts are passed over. */
export function* textDocuments(texts: Iterable<string>, tokenizer: TextTokenizer): Generator<TokenDocument> {
  let id = 0;
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    if (ids.length > 0) yield { id, ids };
    id += 1;
  }
}
