/** Ops that move elements without calculating: all of them words through one strided copy. */
import { backend_util, type DataType, slice_util, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';
import { broadcastStrides, makeView, stridesOf } from './layout.ts';
import type { OpTable } from './register.ts';

interface Copy {
  readonly from: TensorInfo;
  readonly to: TensorInfo;
  readonly sizes: readonly number[];
  readonly fromStrides: readonly number[];
  readonly toStrides: readonly number[];
  readonly fromOffset?: number;
  readonly toOffset?: number;
}

export function copyStrided(backend: CudaBackend, copy: Copy): void {
  const { from, to, sizes, fromOffset = 0, toOffset = 0 } = copy;
  const view = makeView(sizes, copy.fromStrides, copy.toStrides);
  if (view.size === 0) return;
  const { layout, rank, size } = view;
  const { device } = backend;
  if (rank === 1 && layout[6] === 1 && layout[12] === 1) {
    const bytes = 4 * size;
    device.driver.copy(
      backend.pointer(to) + 4 * toOffset,
      backend.pointer(from) + 4 * fromOffset,
      bytes,
      device.stream,
    );
    return;
  }
  const pointers = [backend.pointer(from), backend.pointer(to)] as const;
  device.launchEach('copyStrided', size, [...pointers, layout, rank, fromOffset, toOffset, size]);
}

/** A tensor of one number. */
export function fill(backend: CudaBackend, shape: number[], value: number, dtype: DataType): TensorInfo {
  const out = backend.make(shape, dtype);
  const { driver, stream } = backend.device;
  const n = util.sizeFromShape(shape);
  if (n > 0) driver.fill(backend.pointer(out), wordOf(value, dtype), n, stream);
  return out;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The 32 bits of a value on the device. */
export function wordOf(value: number, dtype: DataType): number {
  if (dtype !== 'float32') return Math.trunc(value) >>> 0;
  float[0] = value;
  return word[0]!;
}

export function transpose(backend: CudaBackend, x: TensorInfo, perm: readonly number[]): TensorInfo {
  const shape = perm.map((axis) => x.shape[axis]!);
  if (perm.every((axis, i) => axis === i)) return backend.share(x, x.shape);
  const out = backend.make(shape, x.dtype);
  const last = perm.length - 1;
  const swapped = perm.every((axis, i) => axis === (i < last - 1 ? i : i === last ? last - 1 : last));
  const [rows, columns] = [x.shape[last - 1]!, x.shape[last]!];
  const batches = util.sizeFromShape(x.shape.slice(0, -2));
  if (swapped && batches < 65_536 && rows > 1 && columns > 1) {
    const grid = [Math.ceil(columns / 32), Math.min(65_535, Math.ceil(rows / 32)), batches] as const;
    backend.device.launch('transposeTiles', grid, 256, [
      backend.pointer(x),
      backend.pointer(out),
      rows,
      columns,
    ]);
    return out;
  }
  const strides = stridesOf(x.shape);
  copyStrided(backend, {
    from: x,
    to: out,
    sizes: shape,
    fromStrides: perm.map((axis) => strides[axis]!),
    toStrides: stridesOf(shape),
  });
  return out;
}

export function slice(backend: CudaBackend, x: TensorInfo, begin: number[], size: number[]): TensorInfo {
  const strides = stridesOf(x.shape);
  const out = backend.make(size, x.dtype);
  const fromOffset = begin.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);
  copyStrided(backend, {
    from: x,
    to: out,
    sizes: size,
    fromStrides: strides,
    toStrides: stridesOf(size),
    fromOffset,
  });
  return out;
}

export function concat(backend: CudaBackend, inputs: readonly TensorInfo[], axis: number): TensorInfo {
  const shape = backend_util.computeOutShape(
    inputs.map((t) => t.shape),
    axis,
  );
  const out = backend.make(shape, inputs[0]!.dtype);
  const toStrides = stridesOf(shape);
  let at = 0;
  for (const from of inputs) {
    copyStrided(backend, {
      from,
      to: out,
      sizes: from.shape,
      fromStrides: stridesOf(from.shape),
      toStrides,
      toOffset: at * toStrides[axis]!,
    });
    at += from.shape[axis]!;
  }
  return out;
}

function pad(backend: CudaBackend, x: TensorInfo, paddings: [number, number][], value: number): TensorInfo {
  const shape = x.shape.map((size, axis) => size + paddings[axis]![0] + paddings[axis]![1]);
  const out = fill(backend, shape, value, x.dtype);
  const toStrides = stridesOf(shape);
  const toOffset = paddings.reduce((sum, [before], axis) => sum + before * toStrides[axis]!, 0);
  const fromStrides = stridesOf(x.shape);
  copyStrided(backend, { from: x, to: out, sizes: x.shape, fromStrides, toStrides, toOffset });
  return out;
}

/** Copies with each dimension's own step, which may be negative. */
function stepped(
  backend: CudaBackend,
  x: TensorInfo,
  { sizes, begin, steps }: { sizes: number[]; begin: number[]; steps: number[] },
): TensorInfo {
  const strides = stridesOf(x.shape);
  const out = backend.make(sizes, x.dtype);
  copyStrided(backend, {
    from: x,
    to: out,
    sizes,
    fromStrides: strides.map((stride, axis) => stride * steps[axis]!),
    toStrides: stridesOf(sizes),
    fromOffset: begin.reduce((sum, at, axis) => sum + at * strides[axis]!, 0),
  });
  return out;
}

export const shapeOps: OpTable = {
  Identity: (backend, { x }) => backend.share(x!, x!.shape),
  Reshape: (backend, { x }, { shape }: { shape: number[] }) =>
    backend.share(x!, util.inferFromImplicitShape(shape, util.sizeFromShape(x!.shape))),
  ExpandDims: (backend, { input }, { dim }: { dim: number }) => {
    const shape = input!.shape.slice();
    shape.splice(dim < 0 ? input!.shape.length + dim + 1 : dim, 0, 1);
    return backend.share(input!, shape);
  },
  Fill: (
    backend,
    _,
    { shape, value, dtype }: { shape: number[]; value: number | string; dtype?: DataType },
  ) => {
    const type = dtype ?? util.inferDtype(value);
    if (type === 'string') {
      const dataId = backend.write(
        Array.from({ length: util.sizeFromShape(shape) }, () => util.encodeString(String(value))),
        shape,
        type,
      );
      return { dataId, shape, dtype: type };
    }
    return fill(backend, shape, Number(value), type);
  },
  ZerosLike: (backend, { x }) => fill(backend, x!.shape, 0, x!.dtype),
  OnesLike: (backend, { x }) => fill(backend, x!.shape, 1, x!.dtype),
  Range: (
    backend,
    _,
    { start, stop, step, dtype }: Record<'start' | 'stop' | 'step', number> & { dtype: DataType },
  ) => {
    const up = start < stop;
    const away = (up && step < 0) || (!up && step > 0);
    const size = start === stop || away || step === 0 ? 0 : Math.abs(Math.ceil((stop - start) / step));
    const values = Array.from({ length: size }, (_, i) => start + i * step);
    const typed = dtype === 'float32' ? Float32Array.from(values) : Int32Array.from(values);
    return backend.makeFromHost(typed, [size], dtype);
  },
  Slice: (backend, { x }, { begin, size }: { begin: number | number[]; size: number | number[] }) => {
    const [from, sizes] = slice_util.parseSliceParams(x as never, begin, size);
    slice_util.assertParamsValid(x as never, from!, sizes!);
    return slice(backend, x!, from!, sizes!);
  },
  StridedSlice: (backend, { x }, attrs: StridedSliceAttrs) => {
    const info = slice_util.sliceInfo(
      x!.shape,
      ...([attrs.begin, attrs.end, attrs.strides] as const),
      ...([attrs.beginMask, attrs.endMask, attrs.ellipsisMask] as const),
      ...([attrs.newAxisMask, attrs.shrinkAxisMask] as const),
    );
    if (info.isIdentity) return backend.share(x!, info.finalShape);
    const sizes = slice_util.computeOutShape(info.begin, info.end, info.strides);
    const cut = stepped(backend, x!, { sizes, begin: info.begin, steps: info.strides });
    return { ...cut, shape: info.finalShape };
  },
  Concat: (backend, inputs, { axis }: { axis: number }) => {
    const all = Object.values(inputs) as TensorInfo[];
    const along = util.parseAxisParam(axis, all[0]!.shape)[0]!;
    const full = all.filter((t) => util.sizeFromShape(t.shape) > 0);
    if (full.length === 0) {
      const shapes = all.map((t) => t.shape);
      return backend.make(backend_util.computeOutShape(shapes, along), all[0]!.dtype);
    }
    return full.length === 1 ? backend.share(full[0]!, full[0]!.shape) : concat(backend, full, along);
  },
  Pack: (backend, inputs, { axis }: { axis: number }) => {
    const all = Object.values(inputs) as TensorInfo[];
    const expanded = all.map((t) => {
      const shape = t.shape.slice();
      shape.splice(axis < 0 ? shape.length + axis + 1 : axis, 0, 1);
      return { ...t, shape };
    });
    return concat(backend, expanded, axis < 0 ? all[0]!.shape.length + axis + 1 : axis);
  },
  Unpack: (backend, { value }, { axis }: { axis: number }) => {
    const along = axis < 0 ? value!.shape.length + axis : axis;
    const shape = value!.shape.filter((_, i) => i !== along);
    const size = value!.shape.map((s, i) => (i === along ? 1 : s));
    return Array.from({ length: value!.shape[along]! }, (_, at) => ({
      ...slice(
        backend,
        value!,
        size.map((_, i) => (i === along ? at : 0)),
        size,
      ),
      shape,
    }));
  },
  SplitV: (
    backend,
    { x },
    { numOrSizeSplits, axis }: { numOrSizeSplits: number | number[]; axis: number },
  ) => {
    const along = util.parseAxisParam(axis, x!.shape)[0]!;
    const begin = x!.shape.map(() => 0);
    return backend_util.prepareSplitSize(x as never, numOrSizeSplits, along).map((width) => {
      const part = slice(
        backend,
        x!,
        begin,
        x!.shape.map((s, i) => (i === along ? width : s)),
      );
      begin[along]! += width;
      return part;
    });
  },
  Transpose: (backend, { x }, { perm }: { perm: number[] }) => transpose(backend, x!, perm),
  Tile: (backend, { x }, { reps }: { reps: number[] }) => {
    const shape = x!.shape.map((size, axis) => size * reps[axis]!);
    const out = backend.make(shape, x!.dtype);
    const strides = stridesOf(x!.shape);
    const interleaved = x!.shape.flatMap((size, axis) => [reps[axis]!, size]);
    copyStrided(backend, {
      from: x!,
      to: out,
      sizes: interleaved,
      fromStrides: strides.flatMap((stride) => [0, stride]),
      toStrides: stridesOf(interleaved),
    });
    return out;
  },
  BroadcastTo: (backend, { x }, { shape }: { shape: number[] }) => {
    const out = backend.make(shape, x!.dtype);
    const fromStrides = broadcastStrides(x!.shape, shape);
    copyStrided(backend, { from: x!, to: out, sizes: shape, fromStrides, toStrides: stridesOf(shape) });
    return out;
  },
  Reverse: (backend, { x }, { dims }: { dims: number | number[] }) => {
    const axes = util.parseAxisParam(dims, x!.shape);
    return stepped(backend, x!, {
      sizes: x!.shape,
      begin: x!.shape.map((size, axis) => (axes.includes(axis) ? size - 1 : 0)),
      steps: x!.shape.map((_, axis) => (axes.includes(axis) ? -1 : 1)),
    });
  },
  PadV2: (backend, { x }, attrs: { paddings: [number, number][]; constantValue: number }) =>
    pad(backend, x!, attrs.paddings, attrs.constantValue),
  OneHot: (
    backend,
    { indices },
    attrs: { depth: number; onValue: number; offValue: number; dtype: DataType },
  ) => {
    const { depth, onValue, offValue, dtype } = attrs;
    const out = backend.make([...indices!.shape, depth], dtype);
    const n = util.sizeFromShape(out.shape);
    const words = [wordOf(onValue, dtype), wordOf(offValue, dtype)] as const;
    const pointers = [backend.pointer(indices!), backend.pointer(out)] as const;
    backend.device.launchEach('oneHot', n, [...pointers, depth, ...words, n]);
    return out;
  },
  GatherV2: (backend, { x, indices }, { axis, batchDims }: { axis: number; batchDims: number }) => {
    const along = util.parseAxisParam(axis, x!.shape)[0]!;
    const info = backend_util.segment_util.collectGatherOpShapeInfo(
      x as never,
      indices as never,
      along,
      batchDims,
    );
    const { batchSize, outerSize, sliceSize, dimSize, outputShape } = info;
    const out = backend.make(outputShape, x!.dtype);
    const picked = util.sizeFromShape(indices!.shape) / Math.max(1, batchSize);
    gather(backend, x!, backend.pointer(indices!), out, {
      outer: outerSize,
      axis: dimSize,
      picked,
      inner: sliceSize,
    });
    return out;
  },
  GatherNd: (backend, { params, indices }) => {
    const [shape, count, inner] = backend_util.prepareAndValidate(params as never, indices as never);
    return withScope(backend, (scope) => {
      const out = scope.output(shape, params!.dtype);
      const flat = scope.scratch(4 * Math.max(1, count), 'gatherND');
      const depth = indices!.shape.at(-1)!;
      flattenIndices(backend, indices!, flat, params!.shape.slice(0, depth), count);
      const axis = util.sizeFromShape(params!.shape.slice(0, depth));
      gather(backend, params!, flat, out, { outer: 1, axis, picked: count, inner });
      return out;
    });
  },
};

interface StridedSliceAttrs {
  begin: number[];
  end: number[];
  strides: number[];
  beginMask: number;
  endMask: number;
  ellipsisMask: number;
  newAxisMask: number;
  shrinkAxisMask: number;
}

function gather(
  backend: CudaBackend,
  x: TensorInfo,
  indices: number,
  out: TensorInfo,
  { outer, axis, picked, inner }: Record<'outer' | 'axis' | 'picked' | 'inner', number>,
): void {
  const n = util.sizeFromShape(out.shape);
  const outside = wordOf(x.dtype === 'float32' ? Number.NaN : 0, x.dtype);
  const sizes = [outer, axis, picked, inner] as const;
  backend.device.launchEach('gather', n, [
    ...[backend.pointer(x), indices, backend.pointer(out), ...sizes],
    ...[outside, n],
  ]);
}

/** Rows of indices [count, depth] → flat positions in the leading dimensions `shape`. */
export function flattenIndices(
  backend: CudaBackend,
  indices: TensorInfo,
  to: number,
  shape: readonly number[],
  count: number,
): void {
  const layout = new Int32Array(18);
  stridesOf(shape).forEach((stride, axis) => {
    layout[axis] = shape[axis]!;
    layout[6 + axis] = stride;
  });
  backend.device.launchEach('flattenIndices', count, [
    ...[backend.pointer(indices), to],
    ...[layout, shape.length, count],
  ]);
}
