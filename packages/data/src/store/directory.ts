/**
 * Where a store's files are: one required method to read, three more to write. In memory, behind HTTP and in OPFS
 * here; on disk it is `fileDirectory` of `@msae/data/node`.
 */
import { msaeError } from '@msae/schema';
import { fromBytes, fromOpfs, type RandomAccess, type ReadOptions } from '../byteSource.ts';
import { fromUrl, type HttpOptions } from '../httpSource.ts';

export interface StoreDirectory {
  /** What error messages call it. */
  readonly name: string;
  /** Opens a file by name; rejects when it is missing. */
  open(file: string, options?: ReadOptions): Promise<RandomAccess>;
  /** The names of all files. */
  list?(): Promise<string[]>;
  /** Writes a file in full or not at all. */
  write?(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  remove?(file: string): Promise<void>;
}

/** A directory that can be written to. */
export type WritableDirectory = Required<StoreDirectory>;

/** A store in memory. */
export function memoryDirectory(
  name = 'memory',
): WritableDirectory & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  return {
    name,
    files,
    async open(file) {
      const bytes = files.get(file);
      if (!bytes) throw msaeError('file', `${name}/${file}: there is no such file`);
      return fromBytes(bytes, `${name}/${file}`);
    },
    list: async () => [...files.keys()],
    async write(file, chunks) {
      files.set(file, new Uint8Array(await new Blob(await collect(chunks)).arrayBuffer()));
    },
    async remove(file) {
      files.delete(file);
    },
  };
}

/** A store behind HTTP, read by range requests. `url` is the directory that holds index.json. */
export function httpDirectory(url: string | URL, options: HttpOptions = {}): StoreDirectory {
  const base = String(url).replace(/\/*$/, '/');
  return { name: base.slice(0, -1), open: (file) => fromUrl(new URL(file, base), options) };
}

/** A store in the browser's origin-private file system. */
export function opfsDirectory(handle: FileSystemDirectoryHandle): WritableDirectory {
  const { name } = handle;
  return {
    name,
    async open(file) {
      const entry = await handle.getFileHandle(file).catch((cause: unknown) => {
        throw msaeError('file', `${name}/${file}: there is no such file`, { cause });
      });
      return fromOpfs(entry);
    },
    async list() {
      const names: string[] = [];
      for await (const entry of handle.keys()) names.push(entry);
      return names;
    },
    async write(file, chunks) {
      // a writable stream of OPFS goes to a temporary file that takes the name's place on close
      const stream = await (await handle.getFileHandle(file, { create: true })).createWritable();
      try {
        for await (const chunk of chunks) await stream.write(chunk as Uint8Array<ArrayBuffer>);
        await stream.close();
      } catch (cause) {
        await stream.abort().catch(() => undefined);
        const full = cause instanceof DOMException && cause.name === 'QuotaExceededError';
        throw full
          ? msaeError(
              'device',
              `${name}/${file}: the browser's storage quota is used up; free some and run again`,
              {
                cause,
              },
            )
          : cause;
      }
    },
    remove: (file) => handle.removeEntry(file),
  };
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<BlobPart[]> {
  const parts: BlobPart[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  return parts;
}
