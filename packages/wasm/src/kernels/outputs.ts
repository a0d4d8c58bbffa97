import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import type { Runtime } from '../runtime.ts';

export interface Outputs {
  make(shape: number[], dtype: DataType): TensorInfo;
}

/** Runs a kernel that makes several outputs; if it fails, those already made are freed. */
export function withOutputs<T>(runtime: Runtime, run: (outputs: Outputs) => T): T {
  const made: TensorInfo[] = [];
  try {
    return run({
      make: (shape, dtype) => {
        const info = runtime.backend.makeOutput(shape, dtype);
        made.push(info);
        return info;
      },
    });
  } catch (error) {
    for (const info of made) runtime.backend.disposeData(info.dataId);
    throw error;
  }
}
