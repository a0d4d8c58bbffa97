/**
 * One small interface for bytes that are read by position: memory, File/Blob, HTTP ranges, OPFS here;
 * files on disk in `@msae/data/node`. Parsers in this package take a `RandomAccess` and never load more than they need.
 */
import { msaeError } from '@msae/schema';

export interface ReadOptions {
  signal?: AbortSignal | undefined;
}

/** Bytes of a known size, read by position. `read` is the one required method. */
export interface RandomAccess {
  /** What error messages call it: a path, a URL, a file name. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; rejects when they are not all there. */
  read(offset: number, length: number, options?: ReadOptions): Promise<Uint8Array>;
  /** Fills `target` from `offset` without allocating, where the medium can. */
  readInto?(target: Uint8Array, offset: number, options?: ReadOptions): Promise<void>;
  close?(): Promise<void>;
}

/** Anything the parsers of this package open. */
export type ByteInput = RandomAccess | Uint8Array | ArrayBuffer | Blob;

/** Throws unless `offset`, `length` lie inside `source`. */
export function checkRange(source: { name: string; size: number }, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw msaeError(
      'value',
      `${source.name}: cannot read ${length} bytes at offset ${offset}: both must be whole and >= 0`,
    );
  }
  if (offset + length > source.size) {
    throw msaeError(
      'file',
      `${source.name}: ${length} bytes were wanted at offset ${offset}, but the file has ${source.size}; it is truncated or damaged`,
    );
  }
}

/** Bytes in memory. Reads are views, not copies. */
export function fromBytes(bytes: Uint8Array | ArrayBuffer, name = 'bytes in memory'): RandomAccess {
  // a plain view: Node's Buffer is a Uint8Array whose slice() does not copy
  const view =
    bytes instanceof Uint8Array
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
  const source: RandomAccess = {
    name,
    size: view.byteLength,
    async read(offset, length) {
      checkRange(source, offset, length);
      return view.subarray(offset, offset + length);
    },
    async readInto(target, offset) {
      checkRange(source, offset, target.byteLength);
      target.set(view.subarray(offset, offset + target.byteLength));
    },
  };
  return source;
}

/** A `File` or `Blob`: only the ranges that are asked for are read. */
export function fromBlob(blob: Blob, name: string = blobName(blob)): RandomAccess {
  const source: RandomAccess = {
    name,
    size: blob.size,
    async read(offset, length, options) {
      checkRange(source, offset, length);
      options?.signal?.throwIfAborted();
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
  return source;
}

const blobName = (blob: Blob): string => ('name' in blob ? String(blob.name) : 'blob');

/** A file of the browser's origin-private file system. */
export async function fromOpfs(handle: FileSystemFileHandle): Promise<RandomAccess> {
  return fromBlob(await handle.getFile(), handle.name);
}

/** Opens whatever a parser was given. */
export function toRandomAccess(input: ByteInput, name?: string): RandomAccess {
  if (input instanceof Uint8Array || input instanceof ArrayBuffer) return fromBytes(input, name);
  if (typeof Blob !== 'undefined' && input instanceof Blob) return fromBlob(input, name);
  return input as RandomAccess;
}

/** Fills `target` by `readInto` where there is one, else by a read and a copy. */
export async function readInto(
  source: RandomAccess,
  target: Uint8Array,
  offset: number,
  options?: ReadOptions,
): Promise<void> {
  if (source.readInto) return source.readInto(target, offset, options);
  target.set(await source.read(offset, target.byteLength, options));
}
