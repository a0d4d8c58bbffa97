/**
 * Reads a Python wheel (a zip with a RECORD of SHA-256 sums) and unpacks chosen entries in a stream: the library we want
 * is 0.8 GB and must not pass through memory. Format: PKWARE APPNOTE 6.3, https://peps.python.org/pep-0427/.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

export interface WheelEntry {
  readonly name: string;
  readonly size: number;
  readonly compressedSize: number;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly headerOffset: number;
}

export interface Wheel {
  readonly path: string;
  readonly entries: ReadonlyMap<string, WheelEntry>;
  /** Text of the METADATA file. */
  readonly metadata: string;
  /** `name` and `version` out of METADATA. */
  readonly name: string;
  readonly version: string;
  /** SHA-256 (base64url) by entry name, out of RECORD. */
  readonly hashes: ReadonlyMap<string, string>;
}

const END_RECORD = 0x06054b50;
const CENTRAL_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;
const MAX_DIRECTORY = 64 * 2 ** 20;
const MAX_TEXT = 16 * 2 ** 20;

/** Opens the wheel at `path`. @throws one error that names the file when it is not a wheel or is damaged. */
export async function readWheel(path: string): Promise<Wheel> {
  const file = await open(path).catch((error: Error) => {
    throw new Error(`${path}: cannot be read (${error.message}); a wheel (.whl) was expected.`);
  });
  try {
    const entries = await readDirectory(file, path);
    const text = async (suffix: string): Promise<string> => {
      const name = [...entries.keys()].find((key) => /^[^/]+\.dist-info\//.test(key) && key.endsWith(suffix));
      if (!name) throw damaged(path, `it has no ${suffix}`);
      return readText(file, path, entries.get(name)!);
    };
    const metadata = await text('/METADATA');
    const field = (key: string): string =>
      new RegExp(`^${key}: (.+)$`, 'm').exec(metadata)?.[1]?.trim() ?? '';
    const hashes = new Map<string, string>();
    for (const line of (await text('/RECORD')).split('\n')) {
      const match = /^"?(.+?)"?,sha256=([\w-]+),\d*\r?$/.exec(line);
      if (match) hashes.set(match[1]!, match[2]!);
    }
    return { path, entries, metadata, name: field('Name'), version: field('Version'), hashes };
  } finally {
    await file.close();
  }
}

/**
 * Unpacks entries into `folder`; `place` maps an entry's name to a relative path, or to `undefined` to leave it out.
 * Every file is checked against its declared size and its SHA-256 in RECORD. Returns the number of files.
 */
export async function extractWheel(
  wheel: Wheel,
  folder: string,
  place: (name: string) => string | undefined,
  signal?: AbortSignal,
): Promise<number> {
  const file = await open(wheel.path);
  let count = 0;
  try {
    for (const entry of wheel.entries.values()) {
      const target = place(entry.name);
      if (target === undefined || entry.name.endsWith('/')) continue;
      if (target.startsWith('/') || target.split('/').includes('..')) {
        throw damaged(wheel.path, `entry ${entry.name} leaves its folder`);
      }
      const path = join(folder, target);
      await mkdir(dirname(path), { recursive: true });
      await unpack(file, wheel, entry, path, signal);
      count++;
    }
  } finally {
    await file.close();
  }
  return count;
}

async function unpack(
  file: FileHandle,
  wheel: Wheel,
  entry: WheelEntry,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const start = await dataOffset(file, wheel.path, entry);
  const hash = createHash('sha256');
  let size = 0;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      hash.update(chunk);
      if (size > entry.size)
        done(damaged(wheel.path, `${entry.name} is longer than its declared ${entry.size} bytes`));
      else done(null, chunk);
    },
  });
  const sink = createWriteStream(path);
  if (entry.compressedSize === 0) {
    await new Promise<void>((resolve) => sink.end(resolve));
  } else {
    const end = start + entry.compressedSize - 1;
    const source = createReadStream(wheel.path, { start, end, highWaterMark: 2 ** 20 });
    const stages = entry.method === 0 ? [source, check, sink] : [source, createInflateRaw(), check, sink];
    await pipeline(stages, signal ? { signal } : {}).catch((error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('Z_'))
        throw damaged(wheel.path, `${entry.name} cannot be unpacked (${error.message})`);
      throw error;
    });
  }
  if (size !== entry.size) throw damaged(wheel.path, `${entry.name} has ${size} of ${entry.size} bytes`);
  const expected = wheel.hashes.get(entry.name);
  if (expected !== undefined && hash.digest('base64url') !== expected.replace(/=+$/, '')) {
    throw damaged(wheel.path, `${entry.name} does not match its checksum`);
  }
}

async function readText(file: FileHandle, path: string, entry: WheelEntry): Promise<string> {
  if (entry.size > MAX_TEXT) throw damaged(path, `${entry.name} is ${entry.size} bytes long`);
  const start = await dataOffset(file, path, entry);
  const source = createReadStream(path, { start, end: start + entry.compressedSize - 1 });
  const chunks: Buffer[] = [];
  let size = 0;
  const stream = entry.method === 0 ? source : source.pipe(createInflateRaw());
  source.on('error', (error) => stream.destroy(error));
  try {
    for await (const chunk of stream) {
      size += (chunk as Buffer).length;
      if (size > entry.size) throw new Error('longer than declared');
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw damaged(path, `${entry.name} cannot be unpacked (${(error as Error).message})`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function readDirectory(file: FileHandle, path: string): Promise<Map<string, WheelEntry>> {
  const { size } = await file.stat();
  const tail = await read(file, path, Math.max(0, size - 65_557), Math.min(size, 65_557));
  let end = tail.length - 22;
  while (end >= 0 && tail.readUInt32LE(end) !== END_RECORD) end--;
  if (end < 0) throw damaged(path, 'it has no zip directory (not a wheel, or cut off)');
  const count = tail.readUInt16LE(end + 10);
  const length = tail.readUInt32LE(end + 12);
  const offset = tail.readUInt32LE(end + 16);
  if (count === 0xffff || offset === 0xffffffff)
    throw damaged(path, 'it is a zip64 archive, which wheels of this size are not');
  if (length > MAX_DIRECTORY || offset + length > size)
    throw damaged(path, 'its zip directory lies outside the file');
  const data = await read(file, path, offset, length);
  const entries = new Map<string, WheelEntry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > data.length || data.readUInt32LE(at) !== CENTRAL_ENTRY)
      throw damaged(path, `directory entry ${i} is broken`);
    const nameLength = data.readUInt16LE(at + 28);
    const entry: WheelEntry = {
      name: data.toString('utf8', at + 46, at + 46 + nameLength),
      method: data.readUInt16LE(at + 10),
      compressedSize: data.readUInt32LE(at + 20),
      size: data.readUInt32LE(at + 24),
      headerOffset: data.readUInt32LE(at + 42),
    };
    if (entry.method !== 0 && entry.method !== 8)
      throw damaged(path, `${entry.name} uses compression ${entry.method}`);
    entries.set(entry.name, entry);
    at += 46 + nameLength + data.readUInt16LE(at + 30) + data.readUInt16LE(at + 32);
  }
  return entries;
}

async function dataOffset(file: FileHandle, path: string, entry: WheelEntry): Promise<number> {
  const header = await read(file, path, entry.headerOffset, 30);
  if (header.readUInt32LE(0) !== LOCAL_ENTRY) throw damaged(path, `${entry.name} has no local header`);
  return entry.headerOffset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
}

async function read(file: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead < length) throw damaged(path, 'it is cut off');
  return buffer;
}

function damaged(path: string, what: string): Error {
  return new Error(`${path}: ${what}; a complete wheel was expected, download it again.`);
}
