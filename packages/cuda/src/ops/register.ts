import {
  type KernelFunc,
  type NamedTensorInfoMap,
  registerKernel,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';

export const BACKEND = 'cuda';

/** A kernel of tfjs on this backend; `attrs` has the type that tfjs documents for it. */
export type Op<Attrs = object> = (
  backend: CudaBackend,
  inputs: NamedTensorInfoMap,
  attrs: Attrs,
) => TensorInfo | TensorInfo[];

/** Ops by tfjs's name of the kernel; each states the attributes of its own. */
// biome-ignore lint/suspicious/noExplicitAny: attributes differ from op to op
export type OpTable = Readonly<Record<string, Op<any>>>;

export function registerOps(ops: OpTable): void {
  for (const [kernelName, op] of Object.entries(ops)) {
    const kernelFunc: KernelFunc = ({ inputs, attrs, backend }) =>
      op(backend as CudaBackend, inputs, attrs ?? {});
    registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
  }
}
