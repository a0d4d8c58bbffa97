/** Whatever a user names a checkpoint by, as a folder and perhaps a file in it. */
import type { ByteInput, HttpOptions, RandomAccess } from '@msae/data';
import { type Folder, filesFolder, handleFolder, memoryFolder, urlFolder } from './folder.ts';
import { formatError } from './formatError.ts';
import { type HubLocation, hubFolder, parseHubName } from './hubFolder.ts';

/**
 * - a path on disk (Node), an http(s) address, or `hf://owner/name[@revision][/folder]`
 * - `{ repo: 'owner/name', path, revision, accessToken, … }` on the Hugging Face hub
 * - a `File`, a `FileList`, `File`s, a directory handle
 * - a `Folder` of this package
 */
export type SaePlace =
  | string
  | URL
  | HubLocation
  | File
  | Iterable<File>
  | FileSystemDirectoryHandle
  | Folder;

export interface Place {
  folder: Folder;
  path?: string;
  /** The place as the user gave it. */
  hint: string;
  /** Closes every file that was opened. */
  close(): Promise<void>;
}

/** Resolves a place. */
export async function openPlace(place: SaePlace, http: HttpOptions = {}): Promise<Place> {
  const { folder, path, hint } = await resolve(place, http);
  const opened: RandomAccess[] = [];
  const tracked: Folder = {
    name: folder.name,
    list: () => folder.list(),
    async open(name) {
      const source = await folder.open(name);
      if (source) opened.push(source);
      return source;
    },
  };
  return {
    folder: tracked,
    ...(path === undefined ? {} : { path }),
    hint,
    async close() {
      await Promise.all(opened.splice(0).map((source) => source.close?.()));
    },
  };
}

async function resolve(
  place: SaePlace,
  http: HttpOptions,
): Promise<{ folder: Folder; path?: string; hint: string }> {
  if (typeof place === 'string' || place instanceof URL) return resolveText(String(place), http);
  if (typeof File !== 'undefined' && place instanceof File) {
    return { folder: filesFolder([place]), path: place.name, hint: place.name };
  }
  if (isFolder(place)) return { folder: place, hint: place.name };
  if ('repo' in place) return resolveHub(place);
  if ('getDirectoryHandle' in place) return { folder: handleFolder(place), hint: place.name };
  if (Symbol.iterator in place) {
    const folder = filesFolder(place);
    return { folder, hint: folder.name };
  }
  throw formatError({
    file: 'loadSae',
    field: 'place',
    found: typeof place,
    expected: 'a path, an address, hf://owner/name, files or a directory handle',
  });
}

async function resolveText(
  text: string,
  http: HttpOptions,
): Promise<{ folder: Folder; path?: string; hint: string }> {
  const hub = parseHubName(text);
  if (hub) return resolveHub({ ...hub, ...(http.fetch ? { fetch: http.fetch } : {}) });
  if (/^https?:/.test(text)) {
    const url = new URL(text);
    const file = /[^/]+\.(?:pt|pth|bin|pkl|npz|safetensors|json)$/i.exec(url.pathname)?.[0];
    if (file) url.pathname = url.pathname.slice(0, -file.length);
    return { folder: urlFolder(url, http), ...(file ? { path: decodeURIComponent(file) } : {}), hint: text };
  }
  const path = /^file:/.test(text) ? (await import('node:url')).fileURLToPath(text) : text;
  if (typeof process === 'undefined' || !process.versions?.node) {
    throw formatError({
      file: text,
      field: 'place',
      found: 'a path, which a browser cannot open',
      expected: 'an http(s) address, hf://owner/name, or dropped files',
    });
  }
  const { diskPath } = await import('./node/diskFolder.ts');
  const { folder, file } = await diskPath(path);
  return { folder, ...(file === undefined ? {} : { path: file }), hint: path };
}

/** In a repository `path` may be a folder or a file. */
async function resolveHub(location: HubLocation): Promise<{ folder: Folder; path?: string; hint: string }> {
  const root = hubFolder(location);
  const { path } = location;
  const hint = `${root.name}/${path ?? ''}`;
  if (!path) return { folder: root, hint };
  if (/\.(?:pt|pth|bin|pkl|npz|safetensors|json)$/i.test(path)) return { folder: root, path, hint };
  const { subfolder } = await import('./folder.ts');
  return { folder: subfolder(root, path), hint };
}

function isFolder(place: object): place is Folder {
  return 'list' in place && 'open' in place && typeof place.open === 'function';
}

/** Files in memory, by relative path, as a place for `loadSae`. */
export function filesInMemory(files: Readonly<Record<string, ByteInput>>, name?: string): Folder {
  return memoryFolder(files, name);
}
