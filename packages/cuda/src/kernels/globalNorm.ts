/** MsaeGlobalNorm: ‖all inputs together‖₂ as a tensor, so that clipping needs no readback. */
import type {
  GlobalNormAttrs,
  GlobalNormInputs,
  GlobalNormOutputs,
  Implementation,
} from '@msae/core/backend';
import { type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { Attached, CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';

/** As in kernels/globalNorm.cu. */
const TENSORS = 8;
const KEY = 'sums of squares';

/** What a kernel has left of a tensor that it wrote: float32 sums of squares whose sum is that of the tensor. */
interface Squares extends Attached {
  readonly sums: number;
  readonly count: number;
}

/** Room for `count` sums of squares, for a kernel that is about to write a tensor; freed with it, and gone when it is written again. */
export function attachSquares(backend: CudaBackend, info: TensorInfo, count: number): number {
  const make = (): Squares => {
    const sums = backend.device.allocator.alloc(4 * count, KEY);
    return { sums, count, pointers: [sums] };
  };
  return backend.attach(info, KEY, make).sums;
}

export const globalNorm: Implementation<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = (
  inputs,
  _attrs,
  instance,
) => {
  const backend = instance as CudaBackend;
  const { device } = backend;
  const parts = (Object.values(inputs) as TensorInfo[]).map((info) => {
    const squares = backend.attached<Squares>(info, KEY);
    return squares === undefined
      ? { at: backend.pointer(info), size: util.sizeFromShape(info.shape), summed: 0 }
      : { at: squares.sums, size: squares.count, summed: 1 };
  });
  return withScope(backend, (scope) => {
    const norm = scope.output([1], 'float32');
    const rounds = Math.ceil(parts.length / TENSORS);
    const most = parts.reduce((size, part) => Math.max(size, part.size), 0);
    const blocks = Math.max(1, Math.min(4 * device.processors, Math.ceil(most / 4096)));
    const partials = scope.scratch(8 * Math.max(1, parts.length) * blocks, KEY);
    if (rounds === 0) device.driver.fill(backend.pointer(norm), 0, 1, device.stream);
    for (let round = 0; round < rounds; round++) {
      const some = parts.slice(round * TENSORS, (round + 1) * TENSORS);
      const slots = Array.from({ length: TENSORS }, (_, k) => some[k] ?? { at: 0, size: 0, summed: 0 });
      device.launch('globalNorm', [blocks, some.length, 1], 256, [
        ...slots.map(({ at }) => at),
        ...slots.map(({ size }) => size),
        slots.reduce((mask, { summed }, k) => mask | (summed << k), 0),
        ...[partials, round * TENSORS * blocks, round === rounds - 1 ? 1 : 0],
        ...[device.counter(), backend.pointer(norm)],
      ]);
    }
    return { norm };
  });
};
