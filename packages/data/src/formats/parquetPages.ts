/**
 * Walks the pages of a Parquet column chunk and decompresses each. Sizes and counts are checked against the bytes there
 * are before anything is allocated.
 */
import { gunzipSync } from 'fflate';
import { type Compressors, snappyUncompress } from 'hyparquet';
import { type Fields, type Reader, readStruct } from './parquetThrift.ts';

export interface ChunkClaim {
  codec: string | undefined;
  /** Values the metadata says the chunk holds. */
  values: number;
  /** Where the chunk starts in the file. */
  fileOffset: number;
}

export interface Page {
  kind: 'dictionary' | 'data' | 'data-v2';
  encoding: number;
  /** Values of the page, absent ones included. */
  count: number;
  /** Decompressed. In a 'data-v2' page without its levels. */
  bytes: Uint8Array;
  /** Of a 'data-v2' page. */
  repetition: Uint8Array;
  definition: Uint8Array;
  /** Where its header starts in the file. */
  offset: number;
}

/** How many times larger a page can become, by codec. */
const maxExpansion: Readonly<Record<string, number>> = {
  UNCOMPRESSED: 1,
  SNAPPY: 24,
  GZIP: 1032,
  LZ4_RAW: 256,
};

/**
 * Values a chunk may hold: run-length coding repeats one value at will, so this limit is ours. Far above real data: a
 * constant column is some hundred values a byte.
 */
export const maxValues = (chunkBytes: number): number => chunkBytes * 1024 + 2 ** 22;

/** The pages of a chunk in order; throws what `fail` makes of the first thing that cannot be. */
export function* readPages(
  bytes: Uint8Array,
  claim: ChunkClaim,
  compressors: Compressors,
  fail: (what: string) => never,
): Generator<Page> {
  const reader: Reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  let values = 0;
  while (values < claim.values) {
    const offset = claim.fileOffset + reader.at;
    const bad = (what: string): never => fail(`the page at byte ${offset} ${what}`);
    let fields: Fields;
    try {
      fields = readStruct(reader);
    } catch {
      return bad('has a header that cannot be read');
    }
    const [type, size, packed] = [field(fields, 1), field(fields, 2), field(fields, 3)];
    const remaining = bytes.byteLength - reader.at;
    if (!(packed >= 0 && packed <= remaining)) bad(`claims ${packed} bytes, ${remaining} are left`);
    const compressed = bytes.subarray(reader.at, reader.at + packed);
    reader.at += packed;
    const kind = type === 0 ? 'data' : type === 2 ? 'dictionary' : type === 3 ? 'data-v2' : undefined;
    if (!kind) {
      if (type === 1) continue; // an index page
      return bad(`is of type ${type}`);
    }
    const header = fields.get({ data: 5, dictionary: 7, 'data-v2': 8 }[kind]);
    const count = field(header, 1);
    if (!(count >= 0 && count <= maxValues(bytes.byteLength)))
      bad(`claims ${count} values in ${packed} bytes`);
    if (kind !== 'dictionary') values += count;
    if (values > claim.values)
      bad(`brings the column to ${values} values, the metadata says ${claim.values}`);
    const encoding = field(header, kind === 'data-v2' ? 4 : 2);
    const levels = kind === 'data-v2' ? { repetition: field(header, 6), definition: field(header, 5) } : none;
    const split = levels.repetition + levels.definition;
    if (!(levels.repetition >= 0 && levels.definition >= 0 && split <= packed))
      bad(`claims ${split} bytes of levels in ${packed}`);
    const plain = header instanceof Map && header.get(7) === 0 && kind === 'data-v2';
    yield {
      kind,
      encoding,
      count,
      offset,
      repetition: compressed.subarray(0, levels.repetition),
      definition: compressed.subarray(levels.repetition, split),
      bytes: decompress(
        compressed.subarray(split),
        size - split,
        plain ? 'UNCOMPRESSED' : claim.codec,
        compressors,
        bad,
      ),
    };
  }
}

const none = { repetition: 0, definition: 0 };

function field(fields: number | Fields | undefined, id: number): number {
  const found = fields instanceof Map ? fields.get(id) : undefined;
  return typeof found === 'number' ? found : Number.NaN;
}

function decompress(
  bytes: Uint8Array,
  size: number,
  codec: string | undefined,
  compressors: Compressors,
  bad: (what: string) => never,
): Uint8Array {
  if (codec === 'UNCOMPRESSED')
    return size === bytes.byteLength ? bytes : bad(`has ${bytes.byteLength} bytes, not ${size}`);
  const allowed = maxExpansion[codec ?? ''] ?? 65536;
  if (!(size >= 0 && size <= bytes.byteLength * allowed + 64)) {
    bad(`claims that ${bytes.byteLength} bytes (${codec}) expand to ${size}`);
  }
  const custom = compressors[codec as keyof Compressors];
  if (!custom && codec !== 'SNAPPY' && codec !== 'GZIP') {
    bad(
      `is compressed by ${codec ?? 'an unknown codec'}; pass its decompressor in compressors, such as one of the package hyparquet-compressors`,
    );
  }
  try {
    if (size === 0) return new Uint8Array(0);
    let out = new Uint8Array(size);
    if (custom) out = new Uint8Array(custom(bytes, size));
    else if (codec === 'SNAPPY') snappyUncompress(bytes, out);
    else out = new Uint8Array(gunzipSync(bytes, { out }));
    if (out.byteLength === size) return out;
    return bad(`expands to ${out.byteLength} bytes, not ${size}`);
  } catch (cause) {
    return bad(`cannot be decompressed: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}
