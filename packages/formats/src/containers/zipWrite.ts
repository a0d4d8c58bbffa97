/** A zip of stored members, 64-byte aligned as torch.save aligns them, with zip64 where sizes ask for it. */
import { type ByteSink, crc32 } from '@msae/data';

export interface ZipEntry {
  readonly name: string;
  /** The member's bytes; asked for once, when its turn comes. */
  data(): Promise<Uint8Array>;
}

const max32 = 0xffffffff;

/** A member as its headers describe it. */
export interface Written {
  name: Uint8Array;
  crc: number;
  size: number;
  offset: number;
}

export async function writeZip(sink: ByteSink, entries: readonly ZipEntry[]): Promise<void> {
  const written: Written[] = [];
  let offset = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    await sink.write(bytes);
    offset += bytes.byteLength;
  };
  for (const entry of entries) {
    const bytes = await entry.data();
    const record = {
      name: new TextEncoder().encode(entry.name),
      crc: crc32(bytes),
      size: bytes.byteLength,
      offset,
    };
    written.push(record);
    await write(localHeader(record));
    await write(bytes);
  }
  const directory = offset;
  for (const record of written) await write(centralHeader(record));
  await write(endRecords(written.length, directory, offset - directory));
}

/** The extra field pads the data to a multiple of 64 and, for a member of 4 GB or more, holds its size. */
export function localHeader({ name, crc, size, offset }: Written): Uint8Array {
  const zip64 = size >= max32 ? 20 : 0;
  const before = offset + 30 + name.byteLength + zip64 + 4;
  const padding = (64 - (before % 64)) % 64;
  const extra = zip64 + 4 + padding;
  const bytes = new Uint8Array(30 + name.byteLength + extra);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, zip64 ? 45 : 20, true);
  view.setUint32(14, crc, true);
  view.setUint32(18, zip64 ? max32 : size, true);
  view.setUint32(22, zip64 ? max32 : size, true);
  view.setUint16(26, name.byteLength, true);
  view.setUint16(28, extra, true);
  bytes.set(name, 30);
  let at = 30 + name.byteLength;
  if (zip64) {
    view.setUint16(at, 1, true);
    view.setUint16(at + 2, 16, true);
    view.setBigUint64(at + 4, BigInt(size), true);
    view.setBigUint64(at + 12, BigInt(size), true);
    at += zip64;
  }
  view.setUint16(at, 0x4246, true); // "FB", torch's padding field
  view.setUint16(at + 2, padding, true);
  bytes.fill(0x5a, at + 4);
  return bytes;
}

/** The member's entry in the directory at the end. */
export function centralHeader({ name, crc, size, offset }: Written): Uint8Array {
  const big = size >= max32 || offset >= max32;
  const bytes = new Uint8Array(46 + name.byteLength + (big ? 28 : 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, big ? 45 : 20, true);
  view.setUint16(6, big ? 45 : 20, true);
  view.setUint32(16, crc, true);
  view.setUint32(20, big ? max32 : size, true);
  view.setUint32(24, big ? max32 : size, true);
  view.setUint16(28, name.byteLength, true);
  view.setUint16(30, big ? 28 : 0, true);
  view.setUint32(42, big ? max32 : offset, true);
  bytes.set(name, 46);
  if (big) {
    const at = 46 + name.byteLength;
    view.setUint16(at, 1, true);
    view.setUint16(at + 2, 24, true);
    view.setBigUint64(at + 4, BigInt(size), true);
    view.setBigUint64(at + 12, BigInt(size), true);
    view.setBigUint64(at + 20, BigInt(offset), true);
  }
  return bytes;
}

/** What ends the file: where the directory is. */
export function endRecords(count: number, directory: number, length: number): Uint8Array {
  const big = directory + length >= max32;
  const bytes = new Uint8Array((big ? 76 : 0) + 22);
  const view = new DataView(bytes.buffer);
  if (big) {
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, 45, true);
    view.setUint16(14, 45, true);
    view.setBigUint64(24, BigInt(count), true);
    view.setBigUint64(32, BigInt(count), true);
    view.setBigUint64(40, BigInt(length), true);
    view.setBigUint64(48, BigInt(directory), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(directory + length), true);
    view.setUint32(72, 1, true);
  }
  const at = big ? 76 : 0;
  view.setUint32(at, 0x06054b50, true);
  view.setUint16(at + 8, count, true);
  view.setUint16(at + 10, count, true);
  view.setUint32(at + 12, big ? max32 : length, true);
  view.setUint32(at + 16, big ? max32 : directory, true);
  return bytes;
}
