/**
 * Reads zip archives as NumPy writes them: the central directory, then single entries. Hostile archives are refused
 * before anything is allocated: deflate cannot expand more than 1,032 times, so a larger claim is a lie.
 * Format: PKWARE APPNOTE 4.3, 4.4.
 */
import { msaeError } from '@msae/schema';
import { Inflate } from 'fflate';
import { fromBytes, type RandomAccess, type ReadOptions, readInto } from '../byteSource.ts';

export interface ZipEntry {
  name: string;
  /** 0 stored, 8 deflated. */
  method: number;
  crc: number;
  compressedBytes: number;
  bytes: number;
  /** Of the local header. */
  offset: number;
}

const maxExpansion = 1032;
const maxDirectoryBytes = 64 * 2 ** 20;

/** The entries of an archive, by name. */
export async function readZipDirectory(
  source: RandomAccess,
  options: ReadOptions = {},
): Promise<Map<string, ZipEntry>> {
  const fail = (what: string): never => {
    throw msaeError('file', `${source.name}: not a valid zip archive: ${what}`);
  };
  if (source.size < 22) fail(`it has ${source.size} bytes, an end record takes 22`);
  const tailStart = Math.max(0, source.size - 22 - 65535 - 20);
  const tail = view(await source.read(tailStart, source.size - tailStart, options));
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) fail('the end of central directory is missing; the file is truncated');
  let count = tail.getUint16(end + 10, true);
  let size = tail.getUint32(end + 12, true);
  let offset = tail.getUint32(end + 16, true);
  if (end >= 20 && tail.getUint32(end - 20, true) === 0x07064b50) {
    const at = safe(tail.getBigUint64(end - 12, true), 'the zip64 end record', fail);
    if (at + 56 > source.size) fail(`the zip64 end record's offset ${at} is beyond the file`);
    const record = view(await source.read(at, 56, options));
    if (record.getUint32(0, true) !== 0x06064b50) fail(`there is no zip64 end record at byte ${at}`);
    count = safe(record.getBigUint64(32, true), 'the number of entries', fail);
    size = safe(record.getBigUint64(40, true), 'the directory size', fail);
    offset = safe(record.getBigUint64(48, true), 'the directory offset', fail);
  }
  if (offset + size > source.size || size > maxDirectoryBytes) {
    fail(`the central directory claims ${size} bytes at byte ${offset} of ${source.size}`);
  }
  const directory = view(await source.read(offset, size, options));
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || directory.getUint32(at, true) !== 0x02014b50) {
      fail(`entry ${i} of the central directory (byte ${offset + at}) is damaged`);
    }
    const nameBytes = directory.getUint16(at + 28, true);
    const extraBytes = directory.getUint16(at + 30, true);
    const next = at + 46 + nameBytes + extraBytes + directory.getUint16(at + 32, true);
    if (next > size) fail(`entry ${i} of the central directory (byte ${offset + at}) reaches beyond it`);
    const entry = readEntry(directory, at, { nameBytes, extraBytes }, fail);
    if (entries.has(entry.name)) fail(`the entry ${JSON.stringify(entry.name)} is there twice`);
    entries.set(entry.name, entry);
    at = next;
  }
  return entries;
}

function readEntry(
  directory: DataView,
  at: number,
  { nameBytes, extraBytes }: { nameBytes: number; extraBytes: number },
  fail: (what: string) => never,
): ZipEntry {
  const bytesAt = (offset: number, length: number): Uint8Array =>
    new Uint8Array(directory.buffer, directory.byteOffset + offset, length);
  const name = new TextDecoder().decode(bytesAt(at + 46, nameBytes));
  if (directory.getUint16(at + 8, true) & 1) fail(`${name} is encrypted`);
  const method = directory.getUint16(at + 10, true);
  if (method !== 0 && method !== 8)
    fail(`${name}: compression method ${method} is not stored (0) or deflated (8)`);
  let compressedBytes = directory.getUint32(at + 20, true);
  let bytes = directory.getUint32(at + 24, true);
  let offset = directory.getUint32(at + 42, true);
  // zip64 values stand in the extra field 1, only those that are saturated, in this order
  let extra = at + 46 + nameBytes;
  const extraEnd = extra + extraBytes;
  while (extra + 4 <= extraEnd) {
    const id = directory.getUint16(extra, true);
    const length = directory.getUint16(extra + 2, true);
    const fieldEnd = Math.min(extraEnd, extra + 4 + length);
    let field = extra + 4;
    const take = (value: number, what: string): number => {
      if (value !== 0xffffffff) return value;
      if (field + 8 > fieldEnd) fail(`${name}: the zip64 ${what} is missing`);
      field += 8;
      return safe(directory.getBigUint64(field - 8, true), `${name}: the ${what}`, fail);
    };
    if (id === 1) {
      bytes = take(bytes, 'size');
      compressedBytes = take(compressedBytes, 'compressed size');
      offset = take(offset, 'offset');
    }
    extra += 4 + length;
  }
  return { name, method, crc: directory.getUint32(at + 16, true), compressedBytes, bytes, offset };
}

/**
 * An entry as a file of its own: a stored one is a window onto the archive (nothing is loaded, its checksum is not
 * looked at), a deflated one is expanded into memory and checked.
 */
export async function openZipEntry(
  source: RandomAccess,
  entry: ZipEntry,
  options: ReadOptions = {},
): Promise<RandomAccess> {
  const name = `${source.name}:${entry.name}`;
  const fail = (what: string): never => {
    throw msaeError('file', `${name}: ${what}`);
  };
  const { offset, compressedBytes, bytes, method } = entry;
  if (offset + 30 > source.size) fail(`its header at byte ${offset} is beyond the file`);
  const local = view(await source.read(offset, 30, options));
  if (local.getUint32(0, true) !== 0x04034b50) fail(`there is no entry at byte ${offset}`);
  const start = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (start + compressedBytes > source.size) {
    fail(
      `it claims ${compressedBytes} bytes at byte ${start}, but the file has ${source.size}; it is truncated`,
    );
  }
  if (method === 0) {
    if (bytes !== compressedBytes) fail(`it is stored, but claims ${compressedBytes} bytes for ${bytes}`);
    return window(source, name, start, bytes);
  }
  if (bytes > compressedBytes * maxExpansion) {
    fail(
      `it claims that ${compressedBytes} bytes expand to ${bytes}; deflate cannot do more than ${maxExpansion} times`,
    );
  }
  const whole = fromBytes(
    await expand(source, { start, compressedBytes, bytes, crc: entry.crc }, fail, options),
    name,
  );
  return { ...whole, close: async () => source.close?.() };
}

async function expand(
  source: RandomAccess,
  entry: { start: number; compressedBytes: number; bytes: number; crc: number },
  fail: (what: string) => never,
  options: ReadOptions,
): Promise<Uint8Array> {
  const out = new Uint8Array(entry.bytes);
  let filled = 0;
  let finished = false;
  const inflate = new Inflate((chunk, final) => {
    if (filled + chunk.length > out.length) fail(`it expands to more than the ${out.length} bytes it claims`);
    out.set(chunk, filled);
    filled += chunk.length;
    finished ||= final;
  });
  const step = 16384; // at most 16 MB come out of one
  for (let at = 0; at < entry.compressedBytes; at += step) {
    const length = Math.min(step, entry.compressedBytes - at);
    const bytes = await source.read(entry.start + at, length, options);
    try {
      inflate.push(new Uint8Array(bytes), at + length === entry.compressedBytes);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      if (why.startsWith(source.name)) throw cause;
      fail(`its deflated data near byte ${entry.start + at} is damaged (${why})`);
    }
  }
  if (!finished || filled !== out.length)
    fail(`it expands to ${filled} bytes, not the ${out.length} it claims`);
  if (crc32(out) !== entry.crc) fail('its CRC-32 does not match; the data was altered or damaged');
  return out;
}

/** A part of a file as a file of its own. */
function window(source: RandomAccess, name: string, start: number, size: number): RandomAccess {
  const within = (offset: number, length: number): number => {
    if (offset < 0 || offset + length > size)
      throw msaeError('file', `${name}: bytes ${offset} to ${offset + length} are beyond its ${size}`);
    return start + offset;
  };
  return {
    name,
    size,
    read: async (offset, length, options) => source.read(within(offset, length), length, options),
    readInto: async (target, offset, options) =>
      readInto(source, target, within(offset, target.byteLength), options),
    close: async () => source.close?.(),
  };
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function safe(value: bigint, what: string, fail: (what: string) => never): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) fail(`${what} claims ${value}`);
  return Number(value);
}

let crcTable: Uint32Array | undefined;

/** CRC-32 of zip (polynomial 0xEDB88320). */
export function crc32(bytes: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
