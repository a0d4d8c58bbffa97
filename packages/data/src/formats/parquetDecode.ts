/**
 * Decodes a Parquet column of numbers, or of lists of numbers, into a flat array. Every loop is bounded by the counts
 * that `readPages` has checked: a damaged run length cannot write past the end. Encodings: plain, dictionary, byte
 * stream split. Format: https://parquet.apache.org/docs/file-format/data-pages/encodings
 */
import type { Compressors } from 'hyparquet';
import { type Dtype, dtypeBytes, typedView } from '../dtype.ts';
import { float16ToFloat32 } from '../halfFloat.ts';
import { type ChunkClaim, maxValues, type Page, readPages } from './parquetPages.ts';
import { type Reader, readVarint } from './parquetThrift.ts';

/** A column as its schema describes it. */
export interface NumberColumn {
  /** Dotted path. */
  path: string;
  dtype: Extract<Dtype, 'F64' | 'F32' | 'F16' | 'I64' | 'I32'>;
  /** Whether a row is a list. */
  list: boolean;
  /** Definition level of a value that is there. */
  maxDefinition: number;
  /** Definition level from which a list has an element, be it null. */
  listDefinition: number;
}

export interface DecodeOptions extends ChunkClaim {
  column: NumberColumn;
  /** Rows the metadata says the chunk holds, and the number of the first. */
  rows: number;
  firstRow: number;
  /** Values a row must have; undefined takes the first row's. */
  width: number | undefined;
  compressors: Compressors;
}

/** Every value as a float64, row after row, and how many a row has. Throws what `fail` makes of the first fault. */
export function decodeColumn(
  bytes: Uint8Array,
  options: DecodeOptions,
  fail: (what: string) => never,
): { values: Float64Array; width: number } {
  const { column, rows, firstRow } = options;
  let width = column.list ? options.width : 1;
  if (options.values > maxValues(bytes.byteLength))
    fail(`claims ${options.values} values in ${bytes.byteLength} bytes`);
  const values = new Float64Array(options.values);
  let dictionary: Float64Array = new Float64Array(0);
  let filled = 0;
  let row = -1; // within the chunk
  let inRow = 0;
  const endRow = (): void => {
    width ??= inRow;
    if (inRow !== width) fail(`row ${firstRow + row} has ${inRow} values, the rows before have ${width}`);
  };
  for (const page of readPages(bytes, options, options.compressors, fail)) {
    const bad = (what: string): never => fail(`the page at byte ${page.offset} ${what}`);
    if (page.kind === 'dictionary') {
      dictionary = plainValues(page.bytes, page.count, column.dtype, bad);
      continue;
    }
    const { repetition, definition, data } = splitLevels(page, column, bad);
    let present = page.count;
    for (let i = 0; i < page.count; i++) {
      if (!repetition || repetition[i] === 0) {
        if (row >= 0) endRow();
        row++;
        inRow = 0;
      } else if (row < 0) bad('starts in the middle of a row');
      const level = definition ? definition[i]! : column.maxDefinition;
      if (level === column.maxDefinition) inRow++;
      else if (column.list && level < column.listDefinition) present--;
      else fail(`row ${firstRow + row}, value ${inRow} is null, not a number`);
    }
    if (row >= rows) bad(`brings the rows to ${row + 1}, the metadata says ${rows}`);
    decodeValues(data, { page, present, dictionary, column }, values.subarray(filled, filled + present), bad);
    filled += present;
  }
  if (row >= 0) endRow();
  if (row + 1 !== rows) fail(`has ${row + 1} rows, the metadata says ${rows}`);
  return { values: values.subarray(0, filled), width: width ?? 0 };
}

/** Levels of a data page (undefined where they cannot differ) and what follows them. */
function splitLevels(
  page: Page,
  column: NumberColumn,
  bad: (what: string) => never,
): { repetition: Uint8Array | undefined; definition: Uint8Array | undefined; data: Uint8Array } {
  let data = page.bytes;
  const levels = (max: number, given: Uint8Array): Uint8Array | undefined => {
    if (max === 0) return undefined;
    let encoded = given;
    if (page.kind === 'data') {
      const length =
        data.byteLength < 4 ? Number.NaN : new DataView(data.buffer, data.byteOffset).getUint32(0, true);
      if (!(length <= data.byteLength - 4)) bad(`claims ${length} bytes of levels in ${data.byteLength}`);
      encoded = data.subarray(4, 4 + length);
      data = data.subarray(4 + length);
    }
    const out = new Uint8Array(page.count);
    readHybrid(encoded, 32 - Math.clz32(max), out, bad);
    for (let i = 0; i < out.length; i++) if (out[i]! > max) bad(`has a level of ${out[i]}, above ${max}`);
    return out;
  };
  const repetition = levels(column.list ? 1 : 0, page.repetition);
  const definition = levels(column.maxDefinition, page.definition);
  return { repetition, definition, data };
}

function decodeValues(
  data: Uint8Array,
  {
    page,
    present,
    dictionary,
    column,
  }: { page: Page; present: number; dictionary: Float64Array; column: NumberColumn },
  out: Float64Array,
  bad: (what: string) => never,
): void {
  if (present === 0) return;
  const { encoding } = page;
  if (encoding === 0) out.set(plainValues(data, present, column.dtype, bad));
  else if (encoding === 9)
    out.set(plainValues(joinStreams(data, present, column.dtype, bad), present, column.dtype, bad));
  else if (encoding === 2 || encoding === 8) {
    const bits = data[0] ?? 255;
    if (bits > 32) bad(`has dictionary indices of ${bits} bits`);
    const indices = new Uint32Array(present);
    readHybrid(data.subarray(1), bits, indices, bad);
    for (let i = 0; i < present; i++) {
      const index = indices[i]!;
      if (index >= dictionary.length) bad(`points at entry ${index} of a dictionary of ${dictionary.length}`);
      out[i] = dictionary[index]!;
    }
  } else {
    bad(
      `uses encoding ${encoding}; plain (0), dictionary (2, 8) and byte stream split (9) are read, so write it with one of those`,
    );
  }
}

function plainValues(
  data: Uint8Array,
  count: number,
  dtype: NumberColumn['dtype'],
  bad: (what: string) => never,
): Float64Array {
  const needed = count * dtypeBytes[dtype];
  if (data.byteLength < needed) bad(`has ${data.byteLength} bytes for ${count} values of ${dtype}`);
  const view = typedView(data.subarray(0, needed), dtype);
  if (view instanceof BigInt64Array) return Float64Array.from(view, Number);
  return new Float64Array(dtype === 'F16' ? float16ToFloat32(view as Uint16Array) : (view as Float32Array));
}

/** Byte stream split: the first bytes of all values, then the second, … */
function joinStreams(
  data: Uint8Array,
  count: number,
  dtype: NumberColumn['dtype'],
  bad: (what: string) => never,
): Uint8Array {
  const size = dtypeBytes[dtype];
  if (data.byteLength < count * size) bad(`has ${data.byteLength} bytes for ${count} values of ${dtype}`);
  const out = new Uint8Array(count * size);
  for (let b = 0; b < size; b++) for (let i = 0; i < count; i++) out[i * size + b] = data[b * count + i]!;
  return out;
}

/** The hybrid of run lengths and bit packing, into all of `out`. */
function readHybrid(
  data: Uint8Array,
  bits: number,
  out: Uint8Array | Uint32Array,
  bad: (what: string) => never,
): void {
  if (bits === 0) return; // every value is 0
  const reader: Reader = { view: new DataView(data.buffer, data.byteOffset, data.byteLength), at: 0 };
  const valueBytes = (bits + 7) >> 3;
  for (let done = 0; done < out.length; ) {
    if (reader.at >= data.byteLength) bad(`ends after ${done} of ${out.length} levels or indices`);
    let header = 0;
    try {
      header = readVarint(reader);
    } catch {
      bad('has a run length that cannot be read');
    }
    const length = Math.floor(header / 2);
    if (header % 2 === 0) {
      if (reader.at + valueBytes > data.byteLength) bad('ends within a run');
      let value = 0;
      for (let b = 0; b < valueBytes; b++) value += data[reader.at++]! * 256 ** b;
      if (length === 0) bad('has a run of no values');
      const end = Math.min(out.length, done + length);
      out.fill(value, done, end);
      done = end;
    } else {
      const end = Math.min(out.length, done + length * 8);
      if (length === 0 || reader.at + Math.ceil(((end - done) * bits) / 8) > data.byteLength)
        bad('ends within packed values');
      unpack(data, reader.at, bits, out.subarray(done, end));
      reader.at += length * bits;
      done = end;
    }
  }
}

/** Values of `bits` bits each, least significant first. */
function unpack(data: Uint8Array, at: number, bits: number, out: Uint8Array | Uint32Array): void {
  let held = 0; // bits not yet handed out; up to 39, so arithmetic instead of shifts
  let heldBits = 0;
  let next = at;
  const mask = 2 ** bits;
  for (let i = 0; i < out.length; i++) {
    while (heldBits < bits) {
      held += data[next++]! * 2 ** heldBits;
      heldBits += 8;
    }
    out[i] = held % mask;
    held = Math.floor(held / mask);
    heldBits -= bits;
  }
}
