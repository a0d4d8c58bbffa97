import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RandomAccess } from '@msae/data';
import { openFile } from '@msae/data/node';
import type { Folder } from '../folder.ts';
import { formatError } from '../formatError.ts';

/** How deep below the folder files are looked for, and how many are enough. */
const maxDepth = 8;
const maxFiles = 20_000;

/** A folder on disk. A path outside of it is never opened. */
export function diskFolder(path: string): Folder {
  const root = resolve(path);
  const inside = (name: string): string | undefined => {
    const full = resolve(root, name);
    return full.startsWith(root.endsWith(sep) ? root : root + sep) ? full : undefined;
  };
  async function walk(directory: string, depth: number, out: string[]): Promise<string[]> {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const full = join(directory, entry.name);
      if (out.length >= maxFiles) break;
      if (entry.isDirectory()) {
        if (depth < maxDepth) await walk(full, depth + 1, out);
      } else {
        out.push(relative(root, full).split(sep).join('/'));
      }
    }
    return out;
  }
  return {
    name: path,
    list: () => walk(root, 0, []),
    async open(name): Promise<RandomAccess | undefined> {
      const full = inside(name);
      if (!full) return undefined;
      const stats = await stat(full).catch(() => undefined);
      return stats?.isFile() ? openFile(full) : undefined;
    },
  };
}

/** A path as the folder it is or lies in, and the file's name if it is a file. */
export async function diskPath(given: string): Promise<{ folder: Folder; file?: string }> {
  const path = given.startsWith('file:') ? fileURLToPath(given) : given;
  const stats = await stat(path).catch(() => undefined);
  if (!stats) {
    throw formatError({
      file: path,
      field: 'path',
      found: 'nothing',
      expected: 'a file or a folder',
      hint: 'a name on the Hugging Face hub is written hf://owner/name/folder',
    });
  }
  if (stats.isDirectory()) return { folder: diskFolder(path) };
  return { folder: diskFolder(dirname(path)), file: basename(path) };
}
