/**
 * A Parquet page header: a struct in Thrift's compact protocol. Only integers, booleans and structs of them are kept;
 * the rest is stepped over. Format: parquet.thrift (PageHeader), thrift-compact-protocol.md.
 */

/** Fields of a struct by number; booleans as 0 and 1. */
export type Fields = Map<number, number | Fields>;

/** A position in some bytes. */
export interface Reader {
  view: DataView;
  at: number;
}

/** Reads the struct at the reader's position and moves past it; throws when it cannot be read. */
export function readStruct(reader: Reader, depth = 0): Fields {
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

function readValue(reader: Reader, type: number, depth: number): number | Fields | undefined {
  if (type === 1 || type === 2) return 2 - type; // booleans live in the type
  if (type === 3) reader.at += 1;
  else if (type >= 4 && type <= 6) return zigzag(reader);
  else if (type === 7) reader.at += 8;
  else if (type === 8) {
    const length = readVarint(reader); // moves reader.at itself
    reader.at += length;
  } else if (type === 12) return readStruct(reader, depth + 1);
  else throw new Error(`type ${type}`);
  return undefined;
}

/** An unsigned LEB128 number. */
export function readVarint(reader: Reader): number {
  let result = 0;
  for (let scale = 1; ; scale *= 128) {
    if (scale > 2 ** 70) throw new Error('a number without end');
    const byte = reader.view.getUint8(reader.at++);
    result += (byte & 127) * scale;
    if (byte < 128) return result;
  }
}

function zigzag(reader: Reader): number {
  const value = readVarint(reader);
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
