/** What a kernel call allocates: outputs, which outlive it unless it throws, and scratch, which does not. */
import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from './backend.ts';

export interface Scope {
  output(shape: number[], dtype: DataType): TensorInfo;
  /** A device pointer for the length of the call: what is put on the stream later may reuse it. */
  scratch(bytes: number, what: string): number;
}

export function withScope<T>(backend: CudaBackend, run: (scope: Scope) => T): T {
  const { allocator } = backend.device;
  const outputs: TensorInfo[] = [];
  const scratch: number[] = [];
  try {
    return run({
      output: (shape, dtype) => {
        const info = backend.make(shape, dtype);
        outputs.push(info);
        return info;
      },
      scratch: (bytes, what) => {
        const pointer = allocator.alloc(bytes, `a scratch buffer (${what})`);
        scratch.push(pointer);
        return pointer;
      },
    });
  } catch (error) {
    for (const info of outputs) backend.disposeData(info.dataId);
    throw error;
  } finally {
    for (const pointer of scratch) allocator.free(pointer);
  }
}
