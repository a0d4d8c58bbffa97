/** Element types of safetensors files (and of the activation store), and their way to and from typed arrays. */
import { msaeError } from '@msae/schema';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './halfFloat.ts';

export type Dtype = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL';

export type TypedArray =
  | Float64Array
  | Float32Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint16Array
  | BigInt64Array;

/** Bytes per element. */
export const dtypeBytes: Readonly<Record<Dtype, number>> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(dtypeBytes, value);
}

/** Little-endian bytes as the typed array of their dtype; F16 and BF16 come as their bits in a Uint16Array. */
export function typedView(bytes: Uint8Array, dtype: Dtype): TypedArray {
  const size = dtypeBytes[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  const length = aligned.byteLength / size;
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer, byteOffset, length);
    case 'F32':
      return new Float32Array(buffer, byteOffset, length);
    case 'F16':
    case 'BF16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'I32':
      return new Int32Array(buffer, byteOffset, length);
    case 'I16':
      return new Int16Array(buffer, byteOffset, length);
    case 'I8':
      return new Int8Array(buffer, byteOffset, length);
    default:
      return aligned;
  }
}

/** Little-endian bytes of any dtype as float32 values, in a fresh array. */
export function bytesToFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const view = typedView(bytes, dtype);
  if (dtype === 'F16') return float16ToFloat32(view as Uint16Array);
  if (dtype === 'BF16') return bfloat16ToFloat32(view as Uint16Array);
  if (view instanceof BigInt64Array) return Float32Array.from(view, Number);
  return new Float32Array(view as Float32Array);
}

/** float32 values as little-endian bytes of a floating dtype. F32 is a view of `data`, the others are fresh. */
export function float32ToBytes(data: Float32Array, dtype: Dtype): Uint8Array {
  switch (dtype) {
    case 'F32':
      return bytesOf(data);
    case 'F16':
      return bytesOf(float32ToFloat16(data));
    case 'BF16':
      return bytesOf(float32ToBfloat16(data));
    case 'F64':
      return bytesOf(Float64Array.from(data));
    default:
      throw msaeError('option', `dtype ${dtype}: float32 values are written as F32, F16, BF16 or F64`);
  }
}

/** The bytes of a typed array, without a copy. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The dtype in which a typed array is written when none is named. */
export function dtypeOf(array: TypedArray): Dtype {
  if (array instanceof Float32Array) return 'F32';
  if (array instanceof Float64Array) return 'F64';
  if (array instanceof Int32Array) return 'I32';
  if (array instanceof Int16Array) return 'I16';
  if (array instanceof Int8Array) return 'I8';
  if (array instanceof Uint8Array) return 'U8';
  if (array instanceof BigInt64Array) return 'I64';
  throw msaeError('option', 'a Uint16Array needs its dtype named: F16 or BF16');
}
