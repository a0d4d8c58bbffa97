/** Whatever a user names a checkpoint by, as a folder and perhaps a file in it. */
import { type HttpOptions, type HubLocation, parseHubAddress, type RandomAccess } from '@msae/data';
import { type Folder, filesFolder, handleFolder, subfolder, urlFolder } from './folder.ts';
import { formatError, tagError } from './formatError.ts';
import { hubFolder } from './hubFolder.ts';

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
  // a file that is looked at twice is opened once
  const opened = new Map<string, RandomAccess>();
  const tracked: Folder = {
    name: folder.name,
    async list() {
      try {
        return await folder.list();
      } catch (error) {
        throw tagError(error, folder.name, 'listing');
      }
    },
    async open(name) {
      const known = opened.get(name);
      if (known) return known;
      let source: RandomAccess | undefined;
      try {
        source = await folder.open(name);
      } catch (error) {
        throw tagError(error, `${folder.name}/${name}`, 'file');
      }
      if (source) opened.set(name, source);
      return source;
    },
  };
  return {
    folder: tracked,
    ...(path === undefined ? {} : { path }),
    hint,
    async close() {
      for (const source of opened.values()) await source.close?.();
      opened.clear();
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
  const hub = parseHubAddress(text);
  if (hub) return resolveHub({ ...hub, ...(http.fetch ? { fetch: http.fetch } : {}) });
  if (/^https?:/.test(text)) {
    const url = new URL(text);
    const file = /[^/]+\.(?:pt|pth|bin|pkl|npz|safetensors|json)$/i.exec(url.pathname)?.[0];
    if (file) url.pathname = url.pathname.slice(0, -file.length);
    return { folder: urlFolder(url, http), ...(file ? { path: decodeURIComponent(file) } : {}), hint: text };
  }
  if (typeof process === 'undefined' || !process.versions?.node) {
    throw formatError({
      file: text,
      field: 'place',
      found: 'a path, which a browser cannot open',
      expected: 'an http(s) address, hf://owner/name, or dropped files',
    });
  }
  const { diskPath } = await import('./node/diskFolder.ts');
  const { folder, file } = await diskPath(text);
  return { folder, ...(file === undefined ? {} : { path: file }), hint: text };
}

/** In a repository `path` may be a folder or a file. */
async function resolveHub(location: HubLocation): Promise<{ folder: Folder; path?: string; hint: string }> {
  const root = hubFolder(location);
  const { path } = location;
  const hint = `${root.name}/${path ?? ''}`;
  if (!path) return { folder: root, hint };
  if (/\.(?:pt|pth|bin|pkl|npz|safetensors|json)$/i.test(path)) return { folder: root, path, hint };
  return { folder: subfolder(root, path), hint };
}

function isFolder(place: object): place is Folder {
  return 'list' in place && 'open' in place && typeof place.open === 'function';
}
