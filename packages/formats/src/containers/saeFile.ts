import {
  type ByteSink,
  type Dtype,
  type TensorToWrite,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from '@msae/data';
import type { Tensor } from '@tensorflow/tfjs-core';

/** A file of a checkpoint, to be written anywhere bytes go. */
export interface SaeFile {
  /** Relative path. */
  readonly path: string;
  write(sink: ByteSink): Promise<void>;
}

/** The dtypes weights can be written in. */
export type WeightDtype = Extract<Dtype, 'F64' | 'F32' | 'F16' | 'BF16'>;
export const weightDtypes: readonly WeightDtype[] = ['F64', 'F32', 'F16', 'BF16'];

/** Elements handed on at a time: a write call takes less than 2 GB. */
const pieceElements = 1 << 24;

/** A tensor that is computed when its turn comes. */
export function lazyTensor(
  name: string,
  shape: readonly number[],
  dtype: WeightDtype,
  compute: () => Promise<Float32Array>,
): TensorToWrite {
  return {
    name,
    shape,
    dtype,
    async *data() {
      const values = await compute();
      for (let at = 0; at < values.length; at += pieceElements) {
        yield values.subarray(at, at + pieceElements);
      }
    },
  };
}

export function jsonFile(path: string, value: unknown): SaeFile {
  return {
    path,
    async write(sink) {
      await sink.write(new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`));
    },
  };
}

export function safetensorsFile(
  path: string,
  tensors: readonly TensorToWrite[],
  options?: WriteSafetensorsOptions,
): SaeFile {
  return {
    path,
    async write(sink) {
      await writeSafetensors(sink, tensors, options);
    },
  };
}

/** A matrix [rows, columns] turned round. */
export function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = matrix[row * columns + column]!;
  return out;
}

/** A tensor's values; not to be changed (the cpu backend hands out its own array). */
export async function valuesOf(tensor: Tensor): Promise<Float32Array> {
  return (await tensor.data()) as Float32Array;
}
