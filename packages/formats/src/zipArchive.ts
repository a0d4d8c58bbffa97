/**
 * The directory of a zip file, read from its end by position: members are neither loaded nor looked for by scanning,
 * so archives of many gigabytes open at once. Zip64 included. Stored members are read in place.
 * Format: PKWARE APPNOTE 6.3.
 */
import { fromBytes, type RandomAccess } from '@msae/data';
import { inflateSync } from 'fflate';
import { formatError } from './formatError.ts';

export interface ZipMember {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly headerOffset: number;
}

const maxDirectoryBytes = 64 << 20;
const maxInflatedBytes = 1 << 30;

/** The members of the archive by name. */
export async function readZipDirectory(source: RandomAccess): Promise<Map<string, ZipMember>> {
  const bad = (found: string, expected: string) =>
    formatError({ file: source.name, field: 'zip directory', found, expected });
  const tailLength = Math.min(source.size, 65_557 + 20);
  const tail = await source.read(source.size - tailLength, tailLength);
  const view = viewOf(tail);
  let at = tailLength - 22;
  while (at >= 0 && view.getUint32(at, true) !== 0x06054b50) at--;
  if (at < 0) throw bad('no end-of-directory record', 'a whole zip file; it is truncated or no zip');
  let count = view.getUint16(at + 10, true);
  let length = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  if (at >= 20 && view.getUint32(at - 20, true) === 0x07064b50) {
    const end64 = Number(view.getBigUint64(at - 12, true));
    if (!inside(source, end64, 56)) throw bad(`a zip64 record at byte ${end64}`, 'one within the file');
    const record = viewOf(await source.read(end64, 56));
    if (record.getUint32(0, true) !== 0x06064b50)
      throw bad('a damaged zip64 record', 'its signature 06064b50');
    count = Number(record.getBigUint64(32, true));
    length = Number(record.getBigUint64(40, true));
    offset = Number(record.getBigUint64(48, true));
  }
  if (length > maxDirectoryBytes || !inside(source, offset, length)) {
    throw bad(`${length} bytes at byte ${offset}`, `a directory within the file's ${source.size} bytes`);
  }
  if (count * 46 > length) throw bad(`${count} members in ${length} bytes`, 'at least 46 bytes a member');
  return parseDirectory(await source.read(offset, length), count, source, bad);
}

function parseDirectory(
  bytes: Uint8Array,
  count: number,
  source: RandomAccess,
  bad: (found: string, expected: string) => Error,
): Map<string, ZipMember> {
  const view = viewOf(bytes);
  const members = new Map<string, ZipMember>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.byteLength || view.getUint32(at, true) !== 0x02014b50) {
      throw bad(`no member at byte ${at} of it`, `member ${i + 1} of ${count}`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.byteLength) throw bad('a member that goes past its end', 'a whole member');
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const sizes = zip64Sizes(view, at, nameLength, extraLength);
    if (!sizes || !inside(source, sizes.headerOffset, 30 + sizes.compressedSize)) {
      throw bad(`member ${name} outside the file`, `one within its ${source.size} bytes`);
    }
    if (view.getUint16(at + 8, true) & 1) throw bad(`member ${name}, encrypted`, 'no encryption');
    if (members.has(name)) throw bad(`member ${name} twice`, 'every member once');
    members.set(name, { name, method: view.getUint16(at + 10, true), ...sizes });
    at = next;
  }
  return members;
}

/** 32-bit sizes, or those of the zip64 extra field where they are saturated. */
function zip64Sizes(
  view: DataView,
  at: number,
  nameLength: number,
  extraLength: number,
): Pick<ZipMember, 'compressedSize' | 'size' | 'headerOffset'> | undefined {
  let compressedSize = view.getUint32(at + 20, true);
  let size = view.getUint32(at + 24, true);
  let headerOffset = view.getUint32(at + 42, true);
  if (size !== 0xffffffff && compressedSize !== 0xffffffff && headerOffset !== 0xffffffff) {
    return { compressedSize, size, headerOffset };
  }
  let extra = at + 46 + nameLength;
  const end = extra + extraLength;
  while (extra + 4 <= end) {
    const id = view.getUint16(extra, true);
    const length = view.getUint16(extra + 2, true);
    if (extra + 4 + length > end) return undefined;
    if (id === 1) {
      let field = extra + 4;
      const next = (): number => {
        if (field + 8 > extra + 4 + length) return Number.NaN;
        field += 8;
        return Number(view.getBigUint64(field - 8, true));
      };
      if (size === 0xffffffff) size = next();
      if (compressedSize === 0xffffffff) compressedSize = next();
      if (headerOffset === 0xffffffff) headerOffset = next();
      return { compressedSize, size, headerOffset };
    }
    extra += 4 + length;
  }
  return undefined;
}

/** Opens a member: a window into the archive when it is stored, inflated in memory when it is deflated. */
export async function openZipMember(archive: RandomAccess, member: ZipMember): Promise<RandomAccess> {
  const name = `${archive.name}!${member.name}`;
  const bad = (found: string, expected: string) =>
    formatError({ file: archive.name, field: `member ${member.name}`, found, expected });
  const header = viewOf(await archive.read(member.headerOffset, 30));
  if (header.getUint32(0, true) !== 0x04034b50) throw bad('a damaged local header', 'signature 04034b50');
  const begin = member.headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (!inside(archive, begin, member.compressedSize))
    throw bad('data past the end of the file', 'a whole file');
  if (member.method === 0) {
    if (member.size !== member.compressedSize) throw bad('two different sizes', 'one size (it is stored)');
    return window(archive, name, begin, member.size);
  }
  if (member.method !== 8) throw bad(`compression method ${member.method}`, '0 (stored) or 8 (deflated)');
  // deflate cannot shrink by more than 1032, so a larger size is a lie: do not allocate it
  if (member.size > 1032 * member.compressedSize + 1032)
    throw bad(`${member.size} bytes out of ${member.compressedSize}`, 'a size that deflate can reach');
  if (member.size > maxInflatedBytes) {
    throw bad(`${member.size} bytes, deflated`, `at most ${maxInflatedBytes}; store it uncompressed`);
  }
  const packed = await archive.read(begin, member.compressedSize);
  try {
    const bytes = inflateSync(packed, { out: new Uint8Array(member.size) });
    if (bytes.byteLength !== member.size) throw new Error(`${bytes.byteLength} bytes came out`);
    return fromBytes(bytes, name);
  } catch (cause) {
    throw formatError({
      file: archive.name,
      field: `member ${member.name}`,
      found: `damaged deflate data (${cause instanceof Error ? cause.message : String(cause)})`,
      expected: `${member.size} bytes`,
      cause,
    });
  }
}

/** Part of a source as a source. */
export function window(source: RandomAccess, name: string, begin: number, size: number): RandomAccess {
  const check = (offset: number, length: number): void => {
    if (offset < 0 || length < 0 || offset + length > size) {
      throw formatError({
        file: name,
        field: 'bytes',
        found: `${size} bytes`,
        expected: `at least ${offset + length}`,
      });
    }
  };
  return {
    name,
    size,
    async read(offset, length, options) {
      check(offset, length);
      return source.read(begin + offset, length, options);
    },
    async readInto(target, offset, options) {
      check(offset, target.byteLength);
      if (source.readInto) return source.readInto(target, begin + offset, options);
      target.set(await source.read(begin + offset, target.byteLength, options));
    },
  };
}

function inside(source: RandomAccess, offset: number, length: number): boolean {
  return (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size
  );
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
