/** Raw TensorFlow ops on plain typed arrays, through the addon of tfjs-node: no tfjs tensor, no copy of aligned inputs. */
import type { Tensor } from '@tensorflow/tfjs-core';

/** Handle of a tensor that libtensorflow owns. */
export type Handle = number;

/** The addon's interface, as far as it is used here (tfjs-node/dist/tfjs_binding.d.ts). */
export interface Binding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_SHAPE: number;
  createTensor(shape: number[], dtype: number, values: Float32Array | Int32Array): Handle;
  deleteTensor(id: Handle): void;
  tensorDataSync(id: Handle): Float32Array | Int32Array;
  executeOp(
    name: string,
    attrs: OpAttr[],
    inputs: Handle[],
    outputs: number,
  ): { id: Handle; shape: number[]; dtype: number }[];
}

/** The members of NodeJSKernelBackend and its addon that we use. */
export interface TensorflowBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: Binding;
  readonly tensorMap: { get(dataId: object): { id: number } };
  /** Uploads what is still on the JavaScript side and returns the handles of the tensors. */
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  executeSingleOutput(name: string, attrs: OpAttr[], inputs: readonly Tensor[]): Tensor;
}

/** tfjs-node's backend behind tfjs's general type. */
export function tensorflowOf(backend: unknown): TensorflowBackend {
  return backend as TensorflowBackend;
}

export interface OpAttr {
  name: string;
  type: number;
  value: unknown;
}

/** One computation: every handle made in it is freed at its end. */
export interface Ops {
  floats(shape: number[], values: Float32Array): Handle;
  ints(shape: number[], values: readonly number[]): Handle;
  /** a [m, k] · b [k, n], either stored transposed */
  matmul(a: Handle, b: Handle, transposeA?: boolean, transposeB?: boolean): Handle;
  /** x [m, n] + bias [n] */
  addBias(x: Handle, bias: Handle): Handle;
  relu(x: Handle): Handle;
  reshape(x: Handle, shape: number[]): Handle;
  maxOfLastAxis(x: Handle, rank: number): Handle;
  /** Values and indices of the `k` largest of the last axis. */
  topK(x: Handle, k: number): [values: Handle, indices: Handle];
  /** params [B, M, …], indices [B, K] → [B, K, …] */
  gatherRows(params: Handle, indices: Handle): Handle;
  readFloats(x: Handle): Float32Array;
  readInts(x: Handle): Int32Array;
}

/** Runs `compute` and frees all handles it made, also when it throws. */
export function withOps<T>(binding: Binding, compute: (ops: Ops) => T): T {
  const made: Handle[] = [];
  try {
    return compute(makeOps(binding, made));
  } finally {
    for (const id of made) binding.deleteTensor(id);
  }
}

function makeOps(binding: Binding, made: Handle[]): Ops {
  const type = (name: string, value: number): OpAttr => ({ name, type: binding.TF_ATTR_TYPE, value });
  const bool = (name: string, value: boolean): OpAttr => ({ name, type: binding.TF_ATTR_BOOL, value });
  const float = type('T', binding.TF_FLOAT);
  const int = (name: string): OpAttr => type(name, binding.TF_INT32);
  const keep = (id: Handle): Handle => {
    made.push(id);
    return id;
  };
  const run = (name: string, attrs: OpAttr[], inputs: Handle[], outputs = 1): Handle[] =>
    binding.executeOp(name, attrs, inputs, outputs).map((output) => keep(output.id));
  const ints = (shape: number[], values: readonly number[]): Handle =>
    keep(binding.createTensor(shape, binding.TF_INT32, Int32Array.from(values)));
  return {
    ints,
    floats: (shape, values) => keep(binding.createTensor(shape, binding.TF_FLOAT, values)),
    matmul: (a, b, transposeA = false, transposeB = false) =>
      run('MatMul', [float, bool('transpose_a', transposeA), bool('transpose_b', transposeB)], [a, b])[0]!,
    addBias(x, bias) {
      const format = { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' };
      return run('BiasAdd', [float, format], [x, bias])[0]!;
    },
    relu: (x) => run('Relu', [float], [x])[0]!,
    reshape: (x, shape) => run('Reshape', [float, int('Tshape')], [x, ints([shape.length], shape)])[0]!,
    maxOfLastAxis: (x, rank) =>
      run('Max', [float, int('Tidx'), bool('keep_dims', false)], [x, ints([], [rank - 1])])[0]!,
    topK(x, k) {
      const [values, indices] = run(
        'TopKV2',
        [float, int('Tk'), int('index_type'), bool('sorted', false)],
        [x, ints([], [k])],
        2,
      );
      return [values!, indices!];
    },
    gatherRows(params, indices) {
      const batch = { name: 'batch_dims', type: binding.TF_ATTR_INT, value: 1 };
      const attrs = [batch, type('Tparams', binding.TF_FLOAT), int('Tindices'), int('Taxis')];
      return run('GatherV2', attrs, [params, indices, ints([], [1])])[0]!;
    },
    readFloats: (x) => binding.tensorDataSync(x) as Float32Array,
    readInts: (x) => binding.tensorDataSync(x) as Int32Array,
  };
}
