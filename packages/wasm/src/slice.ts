/** Slices that are one run of memory, as blocks of rows are: copied as such. The stock kernel first copies all of x out. */
import { getKernel, registerKernel, slice_util, unregisterKernel, util } from '@tensorflow/tfjs-core';
import { attrsOf } from './matMul.ts';
import type { Runtime } from './runtime.ts';

/** Replaces Slice on the wasm backend where the slice is contiguous. */
export function registerSlice(runtimeOf: (backend: unknown) => Runtime): void {
  const stock = getKernel('Slice', 'wasm');
  unregisterKernel('Slice', 'wasm');
  registerKernel({
    ...stock,
    kernelFunc: (call) => {
      const x = call.inputs.x!;
      const { begin, size } = attrsOf<{ begin: number | number[]; size: number | number[] }>(call.attrs);
      // tfjs declares fewer shapes than it takes.
      const params = slice_util.parseSliceParams(x as never, begin, size) as [number[], number[]];
      const [from, shape] = params;
      const plain = x.dtype === 'float32' || x.dtype === 'int32';
      const contiguous = slice_util.isSliceContinous(x.shape, from, shape);
      if (!plain || !contiguous || util.sizeFromShape(shape) === 0) return stock.kernelFunc(call);
      slice_util.assertParamsValid(x as never, from, shape);
      const runtime = runtimeOf(call.backend);
      const out = runtime.backend.makeOutput(shape, x.dtype);
      const length = util.sizeFromShape(shape);
      const at = slice_util.computeFlatOffset(from, util.computeStrides(x.shape));
      runtime.ints(runtime.pointer(out), length).set(runtime.ints(runtime.pointer(x) + 4 * at, length));
      return out;
    },
  });
}
