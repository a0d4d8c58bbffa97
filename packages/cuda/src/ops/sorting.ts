/** Top-k and sums by segment, through sorted 64-bit keys (kernels/sort.cu): the same bits whatever the threads' order. */
import { backend_util, type DataType, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';
import type { OpTable } from './register.ts';
import { flattenIndices } from './shapes.ts';

const SORTED_IN_A_BLOCK = 2048;

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Sorts rows of `width` keys (a power of two) ascending. */
function sortKeys(backend: CudaBackend, keys: number, rows: number, width: number): void {
  const { device } = backend;
  if (width <= SORTED_IN_A_BLOCK) {
    device.launch('sortRows', rows, Math.max(32, Math.min(512, width / 2)), [keys, width]);
    return;
  }
  const n = rows * width;
  for (let size = 2; size <= width; size *= 2) {
    for (let by = size / 2; by >= 1; by /= 2) device.launchEach('sortStep', n, [keys, width, size, by, n]);
  }
}

function topK(backend: CudaBackend, x: TensorInfo, k: number): TensorInfo[] {
  const length = x.shape.at(-1)!;
  const n = util.sizeFromShape(x.shape);
  const rows = n / length;
  const shape = [...x.shape.slice(0, -1), k];
  const isInt = x.dtype === 'float32' ? 0 : 1;
  const { device } = backend;
  const { driver, stream } = device;
  return withScope(backend, (scope) => {
    const values = scope.output(shape, x.dtype);
    const indices = scope.output(shape, 'int32');
    if (k === 0 || n === 0) return [values, indices];
    const keys = scope.scratch(8 * n, 'keys of top-k');
    device.launchEach('makeTopKeys', n, [backend.pointer(x), keys, isInt, length, n]);
    const state = scope.scratch(16 * rows, 'state of top-k');
    const histogram = scope.scratch(1024 * rows, 'histogram of top-k');
    const found = scope.scratch(4 * rows, 'counts of top-k');
    const width = powerOfTwo(k);
    const best = scope.scratch(8 * rows * width, 'the largest of top-k');
    driver.fill(state, 0, 4 * rows, stream);
    driver.fill(histogram, 0, 256 * rows, stream);
    driver.fill(found, 0, rows, stream);
    device.launchEach('fillKeys', rows * width, [best, rows * width]);
    const split = Math.max(1, Math.min(Math.ceil(length / 4096), Math.ceil((8 * device.processors) / rows)));
    for (let shift = 56; shift >= 0; shift -= 8) {
      device.launch('topHistogram', [rows, split, 1], 256, [keys, state, histogram, shift, length]);
      device.launch('topPick', Math.ceil(rows / 32), 32, [state, histogram, k, shift, rows]);
    }
    device.launch('topCollect', [rows, split, 1], 256, [keys, state, best, found, length, width]);
    sortKeys(backend, best, rows, width);
    const to = [backend.pointer(values), backend.pointer(indices)] as const;
    device.launchEach('topOutputs', rows * k, [best, ...to, isInt, k, width, rows * k]);
    return [values, indices];
  });
}

/** out [segments, inner]: rows of `updates` added up by target, those with a target outside left out. */
function sumSegments(
  backend: CudaBackend,
  targets: number,
  updates: TensorInfo,
  out: TensorInfo,
  { segments, count, inner }: Record<'segments' | 'count' | 'inner', number>,
): void {
  const { device } = backend;
  if (segments * inner > 0) device.driver.fill(backend.pointer(out), 0, segments * inner, device.stream);
  if (count === 0 || inner === 0) return;
  withScope(backend, (scope) => {
    const width = powerOfTwo(count);
    const keys = scope.scratch(8 * width, 'keys of segments');
    device.launchEach('fillKeys', width, [keys, width]);
    device.launchEach('makeSegmentKeys', count, [targets, keys, segments, count]);
    sortKeys(backend, keys, 1, width);
    const n = count * inner;
    device.launchEach('sumSegments', n, [
      ...[keys, backend.pointer(updates), backend.pointer(out)],
      ...[updates.dtype === 'float32' ? 0 : 1, count, inner, n],
    ]);
  });
}

export const sortingOps: OpTable = {
  TopK: (backend, { x }, { k }: { k: number }) => topK(backend, x!, k),
  ScatterNd: (backend, { indices, updates }, { shape }: { shape: number[] }) => {
    const info = backend_util.calculateShapes(updates as never, indices as never, shape);
    const { sliceRank, numUpdates, sliceSize, outputSize } = info;
    return withScope(backend, (scope) => {
      const out = scope.output(shape, updates!.dtype as DataType);
      const targets = scope.scratch(4 * Math.max(1, numUpdates), 'targets');
      flattenIndices(backend, indices!, targets, shape.slice(0, sliceRank), numUpdates);
      sumSegments(backend, targets, updates!, out, {
        segments: sliceSize === 0 ? 0 : outputSize / sliceSize,
        count: numUpdates,
        inner: sliceSize,
      });
      return out;
    });
  },
  UnsortedSegmentSum: (backend, { x, segmentIds }, { numSegments }: { numSegments: number }) => {
    const inner = util.sizeFromShape(x!.shape.slice(segmentIds!.shape.length));
    return withScope(backend, (scope) => {
      const out = scope.output([numSegments, ...x!.shape.slice(segmentIds!.shape.length)], x!.dtype);
      const count = util.sizeFromShape(segmentIds!.shape);
      sumSegments(backend, backend.pointer(segmentIds!), x!, out, { segments: numSegments, count, inner });
      return out;
    });
  },
};
