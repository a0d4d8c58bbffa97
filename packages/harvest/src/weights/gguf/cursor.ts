/** Reads a header of unknown length from its start, window by window, never past what the file holds. */
import type { RandomAccess } from '@msae/data';
import { msaeError } from '@msae/schema';

const windowBytes = 1 << 20;

export interface Cursor {
  /** Offset in the file of what is read next. */
  readonly offset: number;
  /** Bytes of the file from there on. */
  readonly remaining: number;
  /** Bytes that {@link view} and {@link take} give without reading the file. */
  readonly buffered: number;
  /** Makes `bytes` available. @throws MsaeError `file` when the file ends before */
  ensure(bytes: number, what: string): Promise<void>;
  /** The next bytes, which are then read. They have to be available. */
  take(bytes: number): Uint8Array;
  /** A number of the next bytes, which are then read. They have to be available. */
  u32(): number;
  /** @throws MsaeError `file` when it is no safe integer */
  u64(what: string): number;
}

export function openCursor(source: RandomAccess): Cursor {
  let bytes = new Uint8Array(0);
  let view = new DataView(bytes.buffer);
  let base = 0;
  let at = 0;
  const take = (length: number): Uint8Array => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const cursor: Cursor = {
    get offset() {
      return base + at;
    },
    get remaining() {
      return source.size - base - at;
    },
    get buffered() {
      return bytes.length - at;
    },
    async ensure(length, what) {
      if (bytes.length - at >= length) return;
      if (length > cursor.remaining) {
        throw msaeError(
          'file',
          `${source.name}: ${what} at byte ${cursor.offset} needs ${length} bytes, but the file ends after ${cursor.remaining}: it is truncated or damaged`,
          { file: source.name, byte: cursor.offset },
        );
      }
      const wanted = Math.min(Math.max(length, windowBytes), cursor.remaining);
      base += at;
      bytes = (await source.read(base, wanted)) as Uint8Array<ArrayBuffer>;
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      at = 0;
    },
    take,
    u32() {
      at += 4;
      return view.getUint32(at - 4, true);
    },
    u64(what) {
      at += 8;
      const value = view.getUint32(at - 8, true) + view.getUint32(at - 4, true) * 2 ** 32;
      if (!Number.isSafeInteger(value)) {
        throw msaeError(
          'file',
          `${source.name}: ${what} at byte ${base + at - 8} is ${value}: the file is damaged`,
          {
            file: source.name,
            byte: base + at - 8,
          },
        );
      }
      return value;
    },
  };
  return cursor;
}
