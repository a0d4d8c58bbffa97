/**
 * Where a checkpoint's files are: a small read-only view of a folder, whatever holds it. Files open as `RandomAccess`
 * and are read by position, so nothing is downloaded or loaded that is not needed.
 */
import {
  type ByteInput,
  fromBlob,
  fromUrl,
  type HttpOptions,
  type RandomAccess,
  toRandomAccess,
} from '@msae/data';
import { formatError, show } from './formatError.ts';

export interface Folder {
  /** Path, URL or name for messages. */
  readonly name: string;
  /** Relative paths with `/` of all files, or undefined where a folder cannot be listed (plain HTTP). */
  list(): Promise<readonly string[] | undefined>;
  /** Opens a file; undefined when there is none of that path. */
  open(path: string): Promise<RandomAccess | undefined>;
}

/** Files in memory or from a file picker or a drop, by relative path. */
export function memoryFolder(files: Readonly<Record<string, ByteInput>>, name = 'files'): Folder {
  const table = new Map(Object.entries(files));
  return {
    name,
    async list() {
      return [...table.keys()];
    },
    async open(path) {
      const input = table.get(path);
      return input === undefined ? undefined : toRandomAccess(input, `${name}/${path}`);
    },
  };
}

/** A `FileList` or `File`s of `<input webkitdirectory>` or of a drop. The folder they share is the root. */
export function filesFolder(files: Iterable<File>): Folder {
  const list = [...files];
  const paths = list.map((file) => (file.webkitRelativePath || file.name).split('/'));
  let shared = 0;
  while (
    paths.length &&
    paths.every((path) => path.length > shared + 1 && path[shared] === paths[0]![shared])
  ) {
    shared++;
  }
  const name = paths[0]?.slice(0, shared).join('/') || 'dropped files';
  const table = Object.fromEntries(list.map((file, i) => [paths[i]!.slice(shared).join('/'), file]));
  return memoryFolder(table, name);
}

/** A directory handle of the File System Access API or of the origin-private file system. */
export function handleFolder(handle: FileSystemDirectoryHandle): Folder {
  async function* walk(directory: FileSystemDirectoryHandle, prefix: string): AsyncGenerator<string> {
    for await (const [name, entry] of directory.entries()) {
      if (entry.kind === 'file') yield prefix + name;
      else yield* walk(entry as FileSystemDirectoryHandle, `${prefix}${name}/`);
    }
  }
  return {
    name: handle.name,
    async list() {
      const paths: string[] = [];
      for await (const path of walk(handle, '')) paths.push(path);
      return paths;
    },
    async open(path) {
      try {
        const parts = path.split('/');
        const file = parts.pop()!;
        let directory = handle;
        for (const part of parts) directory = await directory.getDirectoryHandle(part);
        return fromBlob(await (await directory.getFileHandle(file)).getFile(), `${handle.name}/${path}`);
      } catch (error) {
        if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
        throw error;
      }
    },
  };
}

/** A folder behind HTTP, which must honour range requests. It cannot be listed: known names are asked for. */
export function urlFolder(base: string | URL, options: HttpOptions = {}): Folder {
  const root = new URL(base);
  if (!root.pathname.endsWith('/')) root.pathname += '/';
  const send = options.fetch ?? fetch;
  return {
    name: root.href.replace(/\/$/, ''),
    async list() {
      return undefined;
    },
    async open(path) {
      const url = new URL(path.split('/').map(encodeURIComponent).join('/'), root);
      url.search = root.search;
      const request: RequestInit = { method: 'HEAD', headers: options.headers ?? {} };
      if (options.signal) request.signal = options.signal;
      const response = await send(url, request);
      if (response.status === 404 || response.status === 410) return undefined;
      return fromUrl(url, options);
    },
  };
}

/** Part of a folder as a folder. */
export function subfolder(folder: Folder, path: string): Folder {
  const prefix = path.replace(/^\/+|\/+$/g, '');
  if (prefix === '') return folder;
  return {
    name: `${folder.name}/${prefix}`,
    async list() {
      const all = await folder.list();
      return all
        ?.filter((name) => name.startsWith(`${prefix}/`))
        .map((name) => name.slice(prefix.length + 1));
    },
    open: (name) => folder.open(`${prefix}/${name}`),
  };
}

/** JSON files above this size are refused: a configuration is small. */
const maxJsonBytes = 32 << 20;

export type JsonObject = Record<string, unknown>;

/** A JSON file that must be an object; undefined when there is no such file. */
export async function readJson(folder: Folder, path: string): Promise<JsonObject | undefined> {
  const source = await folder.open(path);
  return source && parseJson(source);
}

/** A JSON file that has to be there; `what` it is to the SAE. */
export async function requireJson(folder: Folder, path: string, what: string): Promise<JsonObject> {
  const json = await readJson(folder, path);
  if (json) return json;
  throw formatError({ file: `${folder.name}/${path}`, field: 'file', found: 'nothing', expected: what });
}

async function parseJson(source: RandomAccess): Promise<JsonObject> {
  const bad = (found: string, expected: string) =>
    formatError({ file: source.name, field: 'JSON', found, expected });
  if (source.size > maxJsonBytes) throw bad(`${source.size} bytes`, `at most ${maxJsonBytes}`);
  const text = new TextDecoder().decode(await source.read(0, source.size));
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    throw bad(cause instanceof Error ? cause.message : String(cause), 'valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(show(value), 'an object');
  return value as JsonObject;
}

/** Python's json also writes NaN and Infinity, which JSON has not: they become null. */
function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = text.replace(/([:[,]\s*)(?:NaN|-?Infinity)(?=\s*[,\]}])/g, '$1null');
    if (plain === text) throw error;
    return JSON.parse(plain);
  }
}
