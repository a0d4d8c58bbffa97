/**
 * The dense half of a sparse step on libtensorflow: x W_enc + b_enc and its top k. Parameters stay where the caller keeps
 * them (wasm memory, say); libtensorflow reads 64-byte aligned arrays in place, and only [B, k] comes back.
 */
import { findBackend, getBackend, setBackend } from '@tensorflow/tfjs-core';
import { useTensorflow } from './tensorflowBackend.ts';
import { type Binding, type Ops, type TensorflowBackend, tensorflowOf, withOps } from './tensorflowOps.ts';
import { groupSize } from './topKGroups.ts';

export interface EncodeTopKOptions {
  /** [rows, dModel], row-major; already centred if the SAE subtracts b_dec */
  x: Float32Array;
  rows: number;
  dModel: number;
  /** [dModel, nLatents] */
  W_enc: Float32Array;
  /** [nLatents] */
  b_enc: Float32Array;
  nLatents: number;
  k: number;
}

/** Active lists as the kernel contract of `@msae/core` has them. */
export interface TopKLists {
  /** [rows, k]: latents in ascending order, then padding with `nLatents` */
  indices: Int32Array;
  /** [rows, k]: their positive pre-activations, then 0 */
  values: Float32Array;
  /** [rows]: latents listed */
  counts: Int32Array;
}

export interface TensorflowEncoder {
  /** The `k` largest positive pre-activations of every row. */
  encodeTopK(options: EncodeTopKOptions): TopKLists;
  /** x W_enc + b_enc, [rows, nLatents]. */
  matmulBias(options: Omit<EncodeTopKOptions, 'k'>): Float32Array;
}

/**
 * Loads libtensorflow beside whatever backend is current, and leaves that one current.
 *
 * @throws when no libtensorflow is usable (see `useNode({ backend: 'tensorflow' })`).
 */
export async function createTensorflowEncoder({
  threads,
}: {
  threads?: number;
} = {}): Promise<TensorflowEncoder> {
  const binding = await loadBinding(threads === undefined ? {} : { threads });
  return {
    matmulBias: (options) => withOps(binding, (ops) => ops.readFloats(preActivations(ops, options))),
    encodeTopK: (options) => encodeTopK(binding, options),
  };
}

/** Loads libtensorflow, leaves the current backend current, and gives its addon. */
export async function loadBinding({ threads }: { threads?: number } = {}): Promise<Binding> {
  const previous = getBackend();
  await useTensorflow({ device: 'cpu', threads });
  if (previous) await setBackend(previous);
  return tensorflowOf(findBackend('tensorflow')).binding;
}

function preActivations(ops: Ops, options: Omit<EncodeTopKOptions, 'k'>): number {
  const { x, rows, dModel, W_enc, b_enc, nLatents } = options;
  checkLength('x', x, rows * dModel);
  checkLength('W_enc', W_enc, dModel * nLatents);
  checkLength('b_enc', b_enc, nLatents);
  const input = ops.floats([rows, dModel], x);
  const product = ops.matmul(input, ops.floats([dModel, nLatents], W_enc));
  return ops.addBias(product, ops.floats([nLatents], b_enc));
}

/** See {@link TensorflowEncoder}. */
export function encodeTopK(binding: Binding, options: EncodeTopKOptions): TopKLists {
  const { rows, nLatents, k } = options;
  if (!Number.isInteger(k) || k < 1 || k > nLatents) {
    throw new RangeError(`k: a whole number from 1 to nLatents = ${nLatents} was expected, got ${k}.`);
  }
  const group = groupSize(nLatents, k);
  const [values, indices] = withOps(binding, (ops) => {
    const pre = preActivations(ops, options);
    return group === 1 ? plainTopK(ops, pre, k) : groupedTopK(ops, pre, { rows, nLatents, k, group });
  });
  return ascendingLists(values, indices, rows, k, nLatents);
}

function plainTopK(ops: Ops, pre: number, k: number): [Float32Array, Int32Array] {
  const [values, indices] = ops.topK(pre, k);
  return [ops.readFloats(values), ops.readInts(indices)];
}

/** See topKGroups.ts. */
function groupedTopK(
  ops: Ops,
  pre: number,
  { rows, nLatents, k, group }: { rows: number; nLatents: number; k: number; group: number },
): [Float32Array, Int32Array] {
  const grouped = ops.reshape(pre, [rows, nLatents / group, group]);
  const [, groups] = ops.topK(ops.maxOfLastAxis(grouped, 3), k);
  const [values, within] = ops.topK(ops.reshape(ops.gatherRows(grouped, groups), [rows, k * group]), k);
  const indices = ops.readInts(within);
  const chosen = ops.readInts(groups);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let j = 0; j < k; j++, at++) {
      const position = indices[at]!;
      indices[at] = chosen[row * k + Math.floor(position / group)]! * group + (position % group);
    }
  }
  return [ops.readFloats(values), indices];
}

/** Sorts every row by latent (insertion sort: k is tens) and drops what is not positive. */
function ascendingLists(
  values: Float32Array,
  indices: Int32Array,
  rows: number,
  k: number,
  nLatents: number,
): TopKLists {
  const counts = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * k;
    let count = 0;
    for (let j = start; j < start + k; j++) {
      const value = values[j]!;
      if (!(value > 0)) continue;
      const latent = indices[j]!;
      let at = start + count++;
      for (; at > start && indices[at - 1]! > latent; at--) {
        indices[at] = indices[at - 1]!;
        values[at] = values[at - 1]!;
      }
      indices[at] = latent;
      values[at] = value;
    }
    counts[row] = count;
    indices.fill(nLatents, start + count, start + k);
    values.fill(0, start + count, start + k);
  }
  return { indices, values, counts };
}

function checkLength(name: string, array: Float32Array, length: number): void {
  if (array.length !== length)
    throw new RangeError(`${name}: ${length} values were expected, got ${array.length}.`);
}
