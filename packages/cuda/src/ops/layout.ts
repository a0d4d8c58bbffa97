/** Views of tensors for the strided kernels: `struct Layout` of kernels/tensor.cu. */
import { util } from '@tensorflow/tfjs-core';
import { unsupported } from '../errors.ts';

export const MAX_RANK = 6;

export interface View {
  readonly layout: Int32Array;
  readonly rank: number;
  readonly size: number;
}

/**
 * A view of `sizes` with a stride of each of two operands by dimension. Neighbouring dimensions that both operands walk through
 * as one are merged.
 *
 * @throws MsaeError `unsupported` if more than 6 dimensions are left.
 */
export function makeView(sizes: readonly number[], a: readonly number[], b: readonly number[]): View {
  const dims: [size: number, a: number, b: number][] = [];
  for (let i = sizes.length - 1; i >= 0; i--) {
    const [size, sa, sb] = [sizes[i]!, a[i]!, b[i]!];
    if (size === 1) continue;
    const inner = dims.at(-1);
    if (inner !== undefined && sa === inner[0] * inner[1] && sb === inner[0] * inner[2]) inner[0] *= size;
    else dims.push([size, sa, sb]);
  }
  if (dims.length > MAX_RANK)
    throw unsupported(`[${sizes.join(', ')}] has more than ${MAX_RANK} dimensions that cannot be merged`);
  const layout = new Int32Array(3 * MAX_RANK).fill(0);
  layout.fill(1, 0, MAX_RANK);
  dims.forEach(([size, sa, sb], r) => {
    layout[r] = size;
    layout[MAX_RANK + r] = sa;
    layout[2 * MAX_RANK + r] = sb;
  });
  return { layout, rank: Math.max(1, dims.length), size: util.sizeFromShape([...sizes]) };
}

/** Row-major strides. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** Strides of `shape` as seen from the broadcast shape `out`: 0 along what is repeated. */
export function broadcastStrides(shape: readonly number[], out: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const missing = out.length - shape.length;
  return out.map((_, i) => (i < missing || shape[i - missing] === 1 ? 0 : strides[i - missing]!));
}
