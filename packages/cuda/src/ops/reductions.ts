/** Sums, means, extremes along axes: in float64 steps, by parts where there would be too few blocks. */
import { backend_util, type DataType, type TensorInfo, util } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';
import type { OpTable } from './register.ts';
import { transpose } from './shapes.ts';

const CODES = { Sum: 0, Mean: 1, Max: 2, Min: 3, Prod: 4, Any: 5, All: 6 } as const;
const KIND = { float: 0, int: 1, double: 2 } as const;
type Reduction = keyof typeof CODES;

const kindOf = (dtype: DataType): number => (dtype === 'float32' ? KIND.float : KIND.int);

/** x [outer, reduce, inner] → [outer, inner]. */
function reduceBlock(
  backend: CudaBackend,
  op: Reduction,
  x: TensorInfo,
  out: TensorInfo,
  [outer, reduce, inner]: readonly [number, number, number],
): void {
  const { device } = backend;
  const target = 4 * device.processors * (inner === 1 ? 1 : 256);
  const wanted = Math.ceil(target / Math.max(1, outer * inner));
  const parts = Math.max(1, Math.min(wanted, Math.ceil(reduce / (inner === 1 ? 4096 : 64)), 1024));
  const divide = op === 'Mean' ? reduce : 1;
  withScope(backend, (scope) => {
    const partial = parts > 1 ? scope.scratch(8 * outer * parts * inner, 'partial sums') : 0;
    const stage = (
      from: number,
      kind: number,
      length: number,
      to: number,
      toKind: number,
      split: number,
    ): void => {
      const each = Math.ceil(length / split);
      const by = toKind === KIND.double ? 1 : divide;
      const shared = [CODES[op], from, kind, to, toKind, length] as const;
      if (inner === 1) {
        const block = length / split <= 64 ? 32 : 256;
        device.launch('reduceRows', [outer, split, 1], block, [...shared, each, by]);
      } else {
        const grid = [Math.ceil(inner / 64), split, outer] as const;
        device.launch('reduceColumns', grid, 64, [...shared, inner, each, by]);
      }
    };
    const [from, to] = [backend.pointer(x), backend.pointer(out)];
    if (parts === 1) return stage(from, kindOf(x.dtype), reduce, to, kindOf(out.dtype), 1);
    stage(from, kindOf(x.dtype), reduce, partial, KIND.double, parts);
    stage(partial, KIND.double, parts, to, kindOf(out.dtype), 1);
  });
}

/** Reduces axes; they are made neighbours first where they are not. */
export function reduce(
  backend: CudaBackend,
  op: Reduction,
  x: TensorInfo,
  attrs: { axis: number | number[]; keepDims: boolean },
): TensorInfo {
  const axes = util.parseAxisParam(attrs.axis, x.shape).sort((a, b) => a - b);
  const kept = x.shape.filter((_, axis) => !axes.includes(axis));
  const shape = attrs.keepDims ? backend_util.expandShapeToKeepDim(kept, axes) : kept;
  const dtype: DataType =
    op === 'Mean'
      ? 'float32'
      : op === 'Sum' && x.dtype === 'bool'
        ? 'int32'
        : op === 'Prod' && x.dtype === 'bool'
          ? 'int32'
          : x.dtype;
  const out = backend.make(shape, dtype);
  if (util.sizeFromShape(shape) === 0) return out;
  const size = (from: number, to: number): number => util.sizeFromShape(x.shape.slice(from, to));
  const [first, last] = [axes[0] ?? 0, axes.at(-1) ?? -1];
  const neighbours = last - first + 1 === axes.length;
  if (neighbours) {
    reduceBlock(backend, op, x, out, [size(0, first), size(first, last + 1), size(last + 1, x.shape.length)]);
    return out;
  }
  const perm = [...x.shape.keys()].filter((axis) => !axes.includes(axis));
  const moved = transpose(backend, x, [...perm, ...axes]);
  reduceBlock(backend, op, moved, out, [
    util.sizeFromShape(kept),
    util.sizeFromShape(axes.map((axis) => x.shape[axis]!)),
    1,
  ]);
  backend.disposeData(moved.dataId);
  return out;
}

/** Moves an axis to the end, runs `op` on rows, and moves it back where `op` keeps the shape. */
function alongLast(
  backend: CudaBackend,
  x: TensorInfo,
  axis: number,
  op: (moved: TensorInfo, outer: number, length: number) => TensorInfo,
  keepsShape: boolean,
): TensorInfo {
  const rank = x.shape.length;
  const perm = [...x.shape.keys()].filter((i) => i !== axis);
  perm.push(axis);
  const moved = transpose(backend, x, perm);
  const length = x.shape[axis] ?? 1;
  const out = op(moved, util.sizeFromShape(x.shape) / Math.max(1, length), length);
  backend.disposeData(moved.dataId);
  if (!keepsShape || axis === rank - 1) return out;
  const back = transpose(
    backend,
    out,
    [...x.shape.keys()].map((i) => perm.indexOf(i)),
  );
  backend.disposeData(out.dataId);
  return back;
}

function argExtreme(backend: CudaBackend, x: TensorInfo, axis: number, smallest: boolean): TensorInfo {
  const along = util.parseAxisParam(axis, x.shape)[0]!;
  const shape = x.shape.filter((_, i) => i !== along);
  return alongLast(
    backend,
    x,
    along,
    (moved, outer, length) => {
      const out = backend.make(shape, 'int32');
      const args = [backend.pointer(moved), kindOf(x.dtype), backend.pointer(out), outer, length] as const;
      backend.device.launch('argExtreme', Math.ceil(outer / 4), 128, [...args, smallest ? 1 : 0]);
      return out;
    },
    false,
  );
}

type ReduceAttrs = { axis: number | number[]; keepDims: boolean };

export const reductionOps: OpTable = {
  ...Object.fromEntries(
    (Object.keys(CODES) as Reduction[]).map((op): [string, OpTable[string]] => [
      op,
      (backend, { x }, attrs: ReduceAttrs) => reduce(backend, op, x!, attrs),
    ]),
  ),
  Max: (
    backend,
    { x },
    { reductionIndices, axis, keepDims }: ReduceAttrs & { reductionIndices?: number | number[] },
  ) => reduce(backend, 'Max', x!, { axis: axis ?? reductionIndices!, keepDims }),
  ArgMax: (backend, { x }, { axis }: { axis: number }) => argExtreme(backend, x!, axis, false),
  ArgMin: (backend, { x }, { axis }: { axis: number }) => argExtreme(backend, x!, axis, true),
  Cumsum: (backend, { x }, attrs: { axis: number; exclusive: boolean; reverse: boolean }) =>
    alongLast(
      backend,
      x!,
      util.parseAxisParam(attrs.axis, x!.shape)[0] ?? 0,
      (moved, outer, length) => {
        const out = backend.make(moved.shape, x!.dtype === 'bool' ? 'int32' : x!.dtype);
        backend.device.launch('cumulativeSum', Math.ceil(outer / 4), 128, [
          ...[backend.pointer(moved), backend.pointer(out), kindOf(x!.dtype), outer, length],
          ...[attrs.exclusive ? 1 : 0, attrs.reverse ? 1 : 0],
        ]);
        return out;
      },
      true,
    ),
};
