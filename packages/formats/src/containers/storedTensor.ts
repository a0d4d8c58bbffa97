/**
 * A tensor that lies in a file: where, in which dtype, with which strides. It is read in pieces straight into the
 * array that is wanted, transposed on the way if need be, so that no second full copy ever exists.
 */
import {
  bytesToFloat32,
  type Dtype,
  dtypeBytes,
  type RandomAccess,
  type Safetensors,
  typedView,
} from '@msae/data';
import { formatError, showShape } from '../formatError.ts';

export interface StoredTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** In elements; row-major when absent. */
  readonly strides?: readonly number[];
  readonly source: RandomAccess;
  /** Byte of the first element. */
  readonly offset: number;
}

export interface ReadTensorOptions {
  /** Of a matrix [r, c] the transpose [c, r], row-major. */
  transpose?: boolean;
  signal?: AbortSignal | undefined;
}

/** Bytes read at a time. */
const pieceBytes = 8 << 20;

/** Number of elements. */
export function tensorSize(tensor: Pick<StoredTensor, 'shape'>): number {
  return tensor.shape.reduce((product, n) => product * n, 1);
}

/** Throws unless every element of the tensor lies within its file. To be called before anything is allocated. */
export function checkTensor(tensor: StoredTensor): void {
  const { shape, source, offset } = tensor;
  const bad = (found: string, expected: string) =>
    formatError({ file: source.name, field: tensor.name, found, expected });
  const strides = stridesOf(tensor);
  if (strides.length !== shape.length) throw bad(`${strides.length} strides`, `${shape.length}`);
  if (![...shape, ...strides, offset].every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw bad(`shape ${showShape(shape)}, strides ${showShape(strides)}`, 'whole numbers >= 0');
  }
  const last = shape.reduce((sum, n, axis) => sum + Math.max(0, n - 1) * strides[axis]!, 0);
  const elements = shape.includes(0) ? 0 : last + 1;
  const end = offset + elements * dtypeBytes[tensor.dtype];
  if (!Number.isSafeInteger(end) || end > source.size) {
    throw bad(
      `${source.size} bytes`,
      `${end} for ${tensor.dtype} ${showShape(shape)} with strides ${showShape(strides)}`,
    );
  }
  // a broadcast (stride 0) tensor could claim any size; no file of weights has one
  if (tensorSize(tensor) > Math.max(1, elements)) {
    throw bad(`strides ${showShape(strides)}`, 'strides that do not repeat elements');
  }
}

/** The tensor as float32, row-major. */
export async function readTensor(
  tensor: StoredTensor,
  options: ReadTensorOptions = {},
): Promise<Float32Array> {
  checkTensor(tensor);
  const [rows, columns, transposed] = plan(tensor, options.transpose ?? false);
  const out = allocate(tensor, rows * columns);
  if (rows < 0) return gather(tensor, options);
  if (!transposed && tensor.dtype === 'F32') {
    // straight into place
    const bytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes);
      await readPiece(tensor, piece, tensor.offset + at, options.signal);
    }
    return out;
  }
  for await (const { begin, values } of pieces(tensor, rows, columns, options.signal)) {
    if (!transposed) {
      out.set(values, begin * columns);
      continue;
    }
    const count = values.length / columns;
    for (let column = 0; column < columns; column++) {
      const target = column * rows + begin;
      for (let row = 0; row < count; row++) out[target + row] = values[row * columns + column]!;
    }
  }
  return out;
}

/** A small tensor's values as numbers; 64-bit integers and floats keep their precision. */
export async function readNumbers(tensor: StoredTensor, options: ReadTensorOptions = {}): Promise<number[]> {
  checkTensor(tensor);
  const size = tensorSize(tensor);
  if (size > 1 << 20) {
    throw formatError({
      file: tensor.source.name,
      field: tensor.name,
      found: `${size} elements`,
      expected: 'a short list',
    });
  }
  if (tensor.dtype === 'F16' || tensor.dtype === 'BF16' || !isRowMajor(tensor)) {
    return Array.from(await readTensor(tensor, options));
  }
  const bytes = await tensor.source.read(tensor.offset, size * dtypeBytes[tensor.dtype], options);
  return Array.from(typedView(bytes, tensor.dtype), Number);
}

/**
 * The sums of squares of a matrix's rows [r] (or, with `transpose`, of the rows of its transpose) and the number of its
 * values that are not finite, read piece by piece: no whole matrix is ever in memory unless its strides are odd.
 */
export async function rowSquares(
  tensor: StoredTensor,
  options: ReadTensorOptions = {},
): Promise<{ squares: Float64Array; notFinite: number }> {
  checkTensor(tensor);
  let [rows, columns, transposed] = plan(tensor, options.transpose ?? false);
  let parts:
    | AsyncIterable<{ begin: number; values: Float32Array }>
    | { begin: number; values: Float32Array }[];
  if (rows < 0) {
    parts = [{ begin: 0, values: await gather(tensor, options) }];
    [rows, columns] = options.transpose
      ? [tensor.shape[1]!, tensor.shape[0]!]
      : [tensor.shape[0]!, tensor.shape[1]!];
    transposed = false;
  } else {
    parts = pieces(tensor, rows, columns, options.signal);
  }
  const squares = new Float64Array(transposed ? columns : rows);
  let notFinite = 0;
  for await (const { begin, values } of parts) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (!Number.isFinite(value)) notFinite++;
      const index = transposed ? i % columns : begin + Math.floor(i / columns);
      squares[index]! += value * value;
    }
  }
  return { squares, notFinite };
}

/** The tensors of an open safetensors file. */
export function safetensorsTensors(file: Safetensors): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, offset } of file.tensors.values()) {
    tensors.set(name, { name, dtype, shape, offset, source: file.source });
  }
  return tensors;
}

function stridesOf({ shape, strides }: StoredTensor): readonly number[] {
  if (strides) return strides;
  const result = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) result[axis] = result[axis + 1]! * shape[axis + 1]!;
  return result;
}

/** Row-major up to axes of length 1, whose stride means nothing. */
function isRowMajor(tensor: StoredTensor): boolean {
  const expected = stridesOf({ ...tensor, strides: undefined } as unknown as StoredTensor);
  return stridesOf(tensor).every((stride, axis) => tensor.shape[axis]! <= 1 || stride === expected[axis]);
}

/** Rows and columns as they lie in the file, and whether they must be transposed; rows −1 for odd strides. */
function plan(
  tensor: StoredTensor,
  transpose: boolean,
): [rows: number, columns: number, transposed: boolean] {
  const { shape } = tensor;
  const columns = shape.length > 1 ? tensorSize({ shape: shape.slice(1) }) : 1;
  const rows = shape[0] ?? 1;
  if (transpose && shape.length !== 2) {
    throw formatError({
      file: tensor.source.name,
      field: tensor.name,
      found: `shape ${showShape(shape)}`,
      expected: 'a matrix',
    });
  }
  if (shape.length < 2 && isRowMajor(tensor)) return [1, rows, false];
  if (isRowMajor(tensor)) return [rows, columns, transpose];
  const [a, b] = stridesOf(tensor);
  if (shape.length === 2 && a === 1 && b === rows) return [columns, rows, !transpose];
  return [-1, 1, false];
}

async function* pieces(
  tensor: StoredTensor,
  rows: number,
  columns: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ begin: number; values: Float32Array }> {
  const rowBytes = columns * dtypeBytes[tensor.dtype];
  const step = rows === 1 ? 1 : Math.max(1, Math.floor(pieceBytes / Math.max(1, rowBytes)));
  for (let begin = 0; begin < rows; begin += step) {
    const count = Math.min(step, rows - begin);
    const bytes = new Uint8Array(count * rowBytes);
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes);
      await readPiece(tensor, piece, tensor.offset + begin * rowBytes + at, signal);
    }
    const values =
      tensor.dtype === 'F32'
        ? (typedView(bytes, 'F32') as Float32Array)
        : bytesToFloat32(bytes, tensor.dtype);
    yield { begin, values };
  }
}

async function readPiece(
  { source }: StoredTensor,
  target: Uint8Array,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (source.readInto) await source.readInto(target, offset, { signal });
  else target.set(await source.read(offset, target.byteLength, { signal }));
}

/** Any strides: the whole span is read, then picked from. Rare. */
async function gather(tensor: StoredTensor, options: ReadTensorOptions): Promise<Float32Array> {
  const strides = stridesOf(tensor);
  const { shape } = tensor;
  const span = shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, 0) + 1;
  const flat = await readTensor({ ...tensor, shape: [span], strides: [1] }, { signal: options.signal });
  const out = allocate(tensor, tensorSize(tensor));
  const axes = shape.map((_, axis) => axis);
  if (options.transpose) axes.reverse();
  const index = axes.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = flat[index.reduce((sum, n, j) => sum + n * strides[axes[j]!]!, 0)]!;
    for (let j = axes.length - 1; j >= 0; j--) {
      index[j]!++;
      if (index[j]! < shape[axes[j]!]!) break;
      index[j] = 0;
    }
  }
  return out;
}

function allocate(tensor: StoredTensor, size: number): Float32Array {
  try {
    return new Float32Array(Math.max(0, size));
  } catch (cause) {
    throw formatError({
      file: tensor.source.name,
      field: tensor.name,
      found: `${size} elements, for which there is no memory`,
      expected: 'a tensor that fits',
      cause,
    });
  }
}
