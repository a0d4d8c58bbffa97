/**
 * safetensors files, read lazily: opening reads the header, each tensor (or a range of its rows) is read when asked for.
 */
import { check, msaeError } from '@msae/schema';
import { type ByteInput, type RandomAccess, type ReadOptions, toRandomAccess } from './byteSource.ts';
import { bytesToFloat32, dtypeBytes, type TypedArray, typedView } from './dtype.ts';
import { type OpenOptions, openOptionsSchema } from './options.ts';
import { readSafetensorsHeader, type TensorInfo } from './safetensorsHeader.ts';

export interface Safetensors {
  /** What error messages call the file. */
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly source: RandomAccess;
  /** dtype, shape and place of a tensor; throws naming what there is when it is missing. */
  info(tensor: string): TensorInfo;
  /** A whole tensor as float32, whatever its dtype. */
  read(tensor: string, options?: ReadOptions): Promise<Float32Array>;
  /** A whole tensor in its own dtype; F16 and BF16 as bits in a Uint16Array, BOOL as Uint8Array. */
  readTyped(tensor: string, options?: ReadOptions): Promise<TypedArray>;
  /** Rows [begin, end) of the first axis as float32; only their bytes are read. */
  readRows(tensor: string, begin: number, end: number, options?: ReadOptions): Promise<Float32Array>;
  /** A scalar or one-element tensor as a number. */
  readNumber(tensor: string, options?: ReadOptions): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file.
 *
 * @param input bytes, a File or Blob, or any `RandomAccess` (HTTP, OPFS, `openFile` of `@msae/data/node`)
 * @throws one Error naming the file, the field and where it can the byte, when the file is not valid
 */
export async function readSafetensors(input: ByteInput, given: OpenOptions = {}): Promise<Safetensors> {
  const options = check(openOptionsSchema, given, 'readSafetensors');
  const source = toRandomAccess(input, options.name);
  const { tensors, metadata } = await readSafetensorsHeader(source, options);

  const info = (tensor: string): TensorInfo => {
    const found = tensors.get(tensor);
    if (!found) {
      const names = [...tensors.keys()];
      const listed = names.slice(0, 20).join(', ') + (names.length > 20 ? `, … (${names.length})` : '');
      throw msaeError(
        'file',
        `${source.name}: there is no tensor ${JSON.stringify(tensor)}; it has: ${listed || 'none'}`,
      );
    }
    return found;
  };
  const readTyped = async (tensor: string, readOptions?: ReadOptions): Promise<TypedArray> => {
    const { offset, byteLength, dtype } = info(tensor);
    return typedView(await source.read(offset, byteLength, readOptions), dtype);
  };

  return {
    name: source.name,
    metadata,
    tensors,
    source,
    info,
    readTyped,
    async read(tensor, readOptions) {
      const { offset, byteLength, dtype } = info(tensor);
      return bytesToFloat32(await source.read(offset, byteLength, readOptions), dtype);
    },
    async readRows(tensor, begin, end, readOptions) {
      const { shape, size, offset, dtype } = info(tensor);
      const rows = shape[0];
      if (rows === undefined)
        throw msaeError('shape', `${source.name}: tensor ${tensor} is a scalar and has no rows`);
      if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || end < begin || end > rows) {
        throw msaeError(
          'value',
          `${source.name}: tensor ${tensor} has rows 0 to ${rows}; [${begin}, ${end}) is not within`,
        );
      }
      const rowBytes = rows === 0 ? 0 : (size / rows) * dtypeBytes[dtype];
      const bytes = await source.read(offset + begin * rowBytes, (end - begin) * rowBytes, readOptions);
      return bytesToFloat32(bytes, dtype);
    },
    async readNumber(tensor, readOptions) {
      const { size } = info(tensor);
      if (size !== 1)
        throw msaeError('shape', `${source.name}: tensor ${tensor} has ${size} elements, expected 1`);
      return Number((await readTyped(tensor, readOptions))[0]);
    },
    async close() {
      await source.close?.();
    },
  };
}
