/**
 * Looks through a Parquet column chunk's page headers before the chunk is decoded, so that a page cannot claim sizes
 * and counts its bytes could not hold. Format: parquet.thrift (PageHeader), Thrift's compact protocol.
 */

/** How many times larger a page can become, by codec. */
const maxExpansion: Readonly<Record<string, number>> = {
  UNCOMPRESSED: 1,
  SNAPPY: 24,
  GZIP: 1032,
  LZ4_RAW: 256,
};

/** Values a byte of decompressed data can stand for: run-length coding repeats one value at will, so this is a limit of ours. */
const maxValuesPerByte = 8192;

/** Fields 1 … 8 of a struct that hold an integer, or a struct of such. */
type Fields = Map<number, number | Fields>;

export interface ChunkClaim {
  codec: string;
  /** Values the metadata says the chunk holds. */
  values: number;
}

/** Throws when a page of the chunk cannot be what it claims. `fileOffset` is where `bytes` start. */
export function checkPages(bytes: Uint8Array, claim: ChunkClaim, fileOffset: number, name: string): void {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  const allowed = maxExpansion[claim.codec] ?? 65536;
  let values = 0;
  while (reader.at < bytes.byteLength - 1) {
    const start = fileOffset + reader.at;
    const fail = (what: string): never => {
      throw new Error(`${name}: the page header at byte ${start} ${what}; the file is damaged`);
    };
    let fields: Fields;
    try {
      fields = readStruct(reader, 0);
    } catch {
      throw new Error(`${name}: the page header at byte ${start} cannot be read; the file is damaged`);
    }
    const compressed = number(fields.get(3));
    const size = number(fields.get(2));
    const remaining = bytes.byteLength - reader.at;
    if (!(compressed >= 0 && compressed <= remaining))
      fail(`claims ${compressed} bytes, ${remaining} are left`);
    if (!(size >= 0 && size <= compressed * allowed + 1024)) {
      fail(`claims that ${compressed} bytes (${claim.codec}) expand to ${size}`);
    }
    const data = fields.get(5) ?? fields.get(8);
    const count = number((data ?? fields.get(7)) as Fields | undefined, 1);
    if (!(count >= 0 && count <= (size + 1) * maxValuesPerByte))
      fail(`claims ${count} values in ${size} bytes`);
    if (data) values += count;
    if (values > claim.values)
      fail(`brings the chunk to ${values} values, the metadata says ${claim.values}`);
    reader.at += compressed;
  }
}

function number(value: number | Fields | undefined, field?: number): number {
  const found = field === undefined ? value : value instanceof Map ? value.get(field) : undefined;
  return typeof found === 'number' ? found : Number.NaN;
}

interface Reader {
  view: DataView;
  at: number;
}

function readStruct(reader: Reader, depth: number): Fields {
  if (depth > 8) throw new Error('nested too deeply');
  const fields: Fields = new Map();
  for (let id = 0; ; ) {
    const head = reader.view.getUint8(reader.at++);
    const type = head & 15;
    if (type === 0) return fields;
    id = head >> 4 ? id + (head >> 4) : zigzag(reader);
    const value = readValue(reader, type, depth);
    if (value !== undefined) fields.set(id, value);
  }
}

/** Integers and structs are returned, everything else is stepped over. */
function readValue(reader: Reader, type: number, depth: number): number | Fields | undefined {
  if (type === 1 || type === 2) return undefined; // booleans live in the type
  if (type === 3) reader.at += 1;
  else if (type >= 4 && type <= 6) return zigzag(reader);
  else if (type === 7) reader.at += 8;
  else if (type === 8) {
    const length = varint(reader); // moves reader.at itself
    reader.at += length;
  } else if (type === 12) return readStruct(reader, depth + 1);
  else throw new Error(`type ${type}`);
  return undefined;
}

function varint(reader: Reader): number {
  let result = 0;
  for (let scale = 1; ; scale *= 128) {
    if (scale > 2 ** 70) throw new Error('a number without end');
    const byte = reader.view.getUint8(reader.at++);
    result += (byte & 127) * scale;
    if (byte < 128) return result;
  }
}

function zigzag(reader: Reader): number {
  const value = varint(reader);
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
