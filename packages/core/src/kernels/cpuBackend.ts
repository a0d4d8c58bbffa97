/** The little of tfjs's MathBackendCPU that the plain TypeScript kernels need: typed arrays in and out. */
import type { TensorInfo, TypedArray } from '@tensorflow/tfjs-core';

interface CpuBackend {
  readonly data: { get(dataId: object): { values: TypedArray } };
  makeTensorInfo(shape: number[], dtype: string, values: TypedArray): TensorInfo;
}

export interface CpuArrays {
  floats(info: TensorInfo): Float32Array;
  maybeFloats(info: TensorInfo | undefined): Float32Array | undefined;
  ints(info: TensorInfo): Int32Array;
  make(shape: number[], values: Float32Array | Int32Array): TensorInfo;
}

/** Typed arrays of tensors of tfjs's `cpu` backend. */
export function cpuArrays(backend: unknown): CpuArrays {
  const known = made.get(backend as CpuBackend);
  if (known !== undefined) return known;
  const arrays = arraysOf(backend as CpuBackend);
  made.set(backend as CpuBackend, arrays);
  return arrays;
}

const made = new WeakMap<CpuBackend, CpuArrays>();

function arraysOf(backend: CpuBackend): CpuArrays {
  const { data } = backend;
  const floats = (info: TensorInfo): Float32Array => data.get(info.dataId).values as Float32Array;
  return {
    floats,
    maybeFloats: (info) => (info === undefined ? undefined : floats(info)),
    ints: (info) => data.get(info.dataId).values as Int32Array,
    make: (shape, values) =>
      backend.makeTensorInfo(shape, values instanceof Int32Array ? 'int32' : 'float32', values),
  };
}
