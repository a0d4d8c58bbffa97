/** NumPy .npy files: whole arrays, or rows of a 2-D array read lazily. */
import { check, msaeError } from '@msae/schema';
import { type ByteInput, toRandomAccess } from '../byteSource.ts';
import { bytesOf } from '../dtype.ts';
import { float16ToFloat32 } from '../halfFloat.ts';
import { type OpenOptions, openOptionsSchema } from '../options.ts';
import { type ActivationRows, blockRowsFor, checkRows, type RowTarget } from '../rows.ts';
import { type NpyHeader, readNpyHeader } from './npyHeader.ts';

/** An array as it was in NumPy, values as float32. */
export interface NpyArray {
  shape: readonly number[];
  /** C (row-major) order, whatever the file's. */
  data: Float32Array;
}

/**
 * Reads a whole .npy array as float32 in C order.
 *
 * @throws one Error naming the file and the field when it is not valid
 */
export async function readNpy(input: ByteInput, given: OpenOptions = {}): Promise<NpyArray> {
  const options = check(openOptionsSchema, given, 'readNpy');
  const source = toRandomAccess(input, options.name);
  const header = await readNpyHeader(source, options);
  const bytes = await source.read(header.dataOffset, header.size * header.itemBytes, options);
  const values = decode(bytes, header);
  const { shape } = header;
  return { shape, data: header.fortranOrder && shape.length > 1 ? toCOrder(values, shape) : values };
}

/**
 * Opens a .npy array of two or more dimensions as rows: the last dimension is the width, the others are flattened.
 * Only the rows asked for are read. Fortran order is read column by column and needs two dimensions.
 */
export async function npyRows(input: ByteInput, given: OpenOptions = {}): Promise<ActivationRows> {
  const options = check(openOptionsSchema, given, 'npyRows');
  const source = toRandomAccess(input, options.name);
  const header = await readNpyHeader(source, options);
  const { shape, fortranOrder, itemBytes, size, dataOffset } = header;
  const { name } = source;
  const width = shape.at(-1) ?? 0;
  if (shape.length < 2 || width < 1) {
    throw msaeError(
      'file',
      `${name}: shape (${shape.join(', ')}) does not make rows; expected two dimensions, (rows, width)`,
    );
  }
  if (fortranOrder && shape.length > 2) {
    throw msaeError(
      'file',
      `${name}: ${shape.length} dimensions in Fortran order are not read by row; save it in C order`,
    );
  }
  const length = size / width;
  const rows: ActivationRows = {
    name,
    width,
    length,
    columns: [],
    blockRows: blockRowsFor(width * itemBytes),
    async readInto(target: RowTarget, at, begin, end, readOptions) {
      checkRows(rows, begin, end);
      const count = end - begin;
      if (!fortranOrder) {
        const bytes = await source.read(
          dataOffset + begin * width * itemBytes,
          count * width * itemBytes,
          readOptions,
        );
        target.data.set(decode(bytes, header), at * width);
        return;
      }
      for (let column = 0; column < width; column++) {
        const offset = dataOffset + (column * length + begin) * itemBytes;
        const values = decode(await source.read(offset, count * itemBytes, readOptions), header);
        for (let i = 0; i < count; i++) target.data[(at + i) * width + column] = values[i]!;
      }
    },
    close: async () => source.close?.(),
  };
  return rows;
}

/** A .npy file (version 1.0, little-endian, C order) of float32 or int32 values. */
export function encodeNpy(data: Float32Array | Int32Array, shape: readonly number[]): Uint8Array {
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== data.length)
    throw msaeError('shape', `npy: ${data.length} values do not fill shape (${shape.join(', ')})`);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const descr = data instanceof Float32Array ? '<f4' : '<i4';
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10;
  const out = new Uint8Array(10 + length + data.byteLength);
  const text = `\x93NUMPY\x01\x00${String.fromCharCode(length & 255, length >> 8)}${dict.padEnd(length - 1)}\n`;
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  out.set(bytesOf(data), 10 + length);
  return out;
}

/** Raw elements as float32 values. `bytes` may be a view of the caller's: it is not written to. */
function decode(bytes: Uint8Array, { type, itemBytes, bigEndian }: NpyHeader): Float32Array {
  const own = bigEndian || bytes.byteOffset % itemBytes !== 0 ? new Uint8Array(bytes) : bytes;
  if (bigEndian) swapBytes(own, itemBytes);
  const { buffer, byteOffset } = own;
  const length = own.byteLength / itemBytes;
  switch (type) {
    case 'f4':
      return new Float32Array(new Float32Array(buffer, byteOffset, length));
    case 'f8':
      return new Float32Array(new Float64Array(buffer, byteOffset, length));
    case 'f2':
      return float16ToFloat32(new Uint16Array(buffer, byteOffset, length));
    case 'i1':
      return new Float32Array(new Int8Array(buffer, byteOffset, length));
    case 'i2':
      return new Float32Array(new Int16Array(buffer, byteOffset, length));
    case 'u2':
      return new Float32Array(new Uint16Array(buffer, byteOffset, length));
    case 'i4':
      return new Float32Array(new Int32Array(buffer, byteOffset, length));
    case 'u4':
      return new Float32Array(new Uint32Array(buffer, byteOffset, length));
    case 'i8':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case 'u8':
      return Float32Array.from(new BigUint64Array(buffer, byteOffset, length), Number);
    default:
      return new Float32Array(own);
  }
}

function swapBytes(bytes: Uint8Array, itemBytes: number): void {
  for (let i = 0; i < bytes.length; i += itemBytes) bytes.subarray(i, i + itemBytes).reverse();
}

/** Fortran order (first index fastest) → C order (last index fastest). */
function toCOrder(values: Float32Array, shape: readonly number[]): Float32Array {
  const out = new Float32Array(values.length);
  const index = new Array<number>(shape.length).fill(0);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((product, n) => product * n, 1));
  for (let i = 0; i < out.length; i++) {
    let from = 0;
    for (let axis = 0; axis < shape.length; axis++) from += index[axis]! * strides[axis]!;
    out[i] = values[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return out;
}
