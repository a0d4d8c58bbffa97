/** Documents out of text files: a file each, or a line each. */

import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { check, choice, msaeError } from '@msae/schema';
import { decodeText } from '../textDocuments.ts';

export interface TextFiles {
  texts: string[];
  /** SHA-256 over all texts: what a resumed harvest compares. */
  origin: string;
}

/**
 * Reads UTF-8 text.
 *
 * @param path a file, or a folder whose *.txt files are read in name order
 * @param unit what a document is
 * @throws MsaeError `file` when nothing is there, a file is not UTF-8, or there is no text in it
 */
export async function readTextFiles(path: string, unit: 'file' | 'line' = 'file'): Promise<TextFiles> {
  check(choice(['file', 'line']), unit, 'readTextFiles: unit');
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw msaeError(
      'file',
      `${path}: ${cause.code === 'ENOENT' ? 'there is no such file or folder' : cause.message}`,
      {
        cause,
      },
    );
  });
  const names = found.isDirectory()
    ? (await readdir(path)).filter((name) => name.endsWith('.txt')).sort()
    : [];
  const files = found.isDirectory() ? names.map((name) => join(path, name)) : [path];
  const hash = createHash('sha256').update(unit);
  const texts: string[] = [];
  for (const file of files) {
    const bytes = await readFile(file);
    hash.update(`${bytes.byteLength} `).update(bytes);
    const text = decodeText(bytes, file);
    texts.push(...(unit === 'line' ? text.split(/\r?\n/) : [text]).filter((one) => one.trim() !== ''));
  }
  if (texts.length === 0)
    throw msaeError('file', `${path}: no text in it; expected a text file, or a folder of *.txt files`);
  return { texts, origin: `sha256:${hash.digest('hex')}` };
}
