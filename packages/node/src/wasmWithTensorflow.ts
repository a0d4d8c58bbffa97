/**
 * The wasm backend with its large matrix products on libtensorflow: tensors and all other kernels stay in wasm memory, and
 * the products run where they are fastest on a CPU. No tensor changes its backend; libtensorflow reads 64-byte aligned
 * operands in place, and a product's result is copied back once (of a top-k encoder only the lists).
 */
import {
  type EncodeActiveInputs,
  type EncodeActiveOutputs,
  encodeActiveKernel,
  type Infos,
} from '@msae/core/backend';
import { msaeError } from '@msae/schema';
import {
  getKernel,
  type KernelFunc,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
  util,
} from '@tensorflow/tfjs-core';
import { coversEncode } from './kernels/encodeActive.ts';
import { encodeTopK, loadBinding } from './tensorflowEncoder.ts';
import { type Binding, withOps } from './tensorflowOps.ts';

/** The members of tfjs's BackendWasm used here. */
interface WasmBackend {
  makeOutput(shape: number[], dtype: string): TensorInfo;
  /** A view of the tensor in wasm memory. */
  typedArrayFromHeap(tensor: TensorInfo): Float32Array | Int32Array;
}

type Call = Parameters<KernelFunc>[0];

/** Returns `undefined` to leave a call to the kernel that was there before. */
type Replacement = (
  binding: Binding,
  backend: WasmBackend,
  call: Call,
) => TensorInfo | TensorInfo[] | undefined;

/** Smaller products are not worth the way. */
const MIN_FLOPS = 2 ** 27;

const replaced = new Map<string, KernelFunc>();
/** The wasm backend's own encoder, while libtensorflow stands in for it. */
let ownEncoder: ReturnType<typeof encodeActiveKernel.provided>;

/**
 * Lets libtensorflow do the products of the (already registered) wasm backend.
 *
 * @throws when no libtensorflow is usable.
 */
export async function multiplyWithTensorflow(options: { threads?: number } = {}): Promise<void> {
  if (replaced.size > 0) return;
  const binding = await loadBinding(options);
  for (const [kernelName, replacement] of Object.entries(replacements)) {
    const original = getKernel(kernelName, 'wasm')?.kernelFunc;
    if (!original) throw msaeError('state', 'matmul: the wasm backend of @msae/wasm is not registered.');
    replaced.set(kernelName, original);
    replace(kernelName, (call) => replacement(binding, wasmOf(call.backend), call) ?? original(call));
  }
  const own = encodeActiveKernel.provided('wasm');
  if (own === undefined)
    throw msaeError('state', 'matmul: the wasm backend of @msae/wasm is not registered.');
  ownEncoder = own;
  encodeActiveKernel.provide(
    'wasm',
    (inputs, attrs, backend) =>
      coversEncode(attrs)
        ? encode(binding, wasmOf(backend), inputs, attrs.keep)
        : own.run(inputs, attrs, backend),
    { covers: (attrs, inputs) => coversEncode(attrs) || own.covers(attrs, inputs) },
  );
}

/** Gives the wasm backend its own products back. */
export function multiplyWithWasm(): void {
  for (const [kernelName, original] of replaced) replace(kernelName, original);
  replaced.clear();
  if (ownEncoder !== undefined)
    encodeActiveKernel.provide('wasm', ownEncoder.run, { covers: ownEncoder.covers });
  ownEncoder = undefined;
}

/** tfjs's own types are general: what a kernel of this backend really gets. */
function wasmOf(backend: unknown): WasmBackend {
  return backend as WasmBackend;
}
function attrsOf<A>(attrs: unknown): A {
  return attrs as A;
}

const replacements: Readonly<Record<string, Replacement>> = {
  BatchMatMul: (binding, backend, { inputs, attrs }) =>
    product(binding, backend, inputs.a!, inputs.b!, attrsOf<ProductAttrs>(attrs)),
  _FusedMatMul: (binding, backend, { inputs, attrs }) => {
    const { activation, ...rest } = attrsOf<ProductAttrs & { activation: string }>(attrs);
    const { a, b, bias, preluActivationWeights } = inputs;
    if ((activation !== 'linear' && activation !== 'relu') || preluActivationWeights) return undefined;
    return product(binding, backend, a!, b!, { ...rest, relu: activation === 'relu' }, bias ?? undefined);
  },
};

interface ProductAttrs {
  transposeA: boolean;
  transposeB: boolean;
  relu?: boolean;
}

function product(
  binding: Binding,
  backend: WasmBackend,
  a: TensorInfo,
  b: TensorInfo,
  { transposeA, transposeB, relu = false }: ProductAttrs,
  bias?: TensorInfo,
): TensorInfo | undefined {
  const batched = [a, b].some(({ shape }) => util.sizeFromShape(shape.slice(0, -2)) !== 1);
  const [aShape, bShape] = [a.shape.slice(-2), b.shape.slice(-2)] as [[number, number], [number, number]];
  const [m, k] = transposeA ? [aShape[1], aShape[0]] : aShape;
  const n = transposeB ? bShape[0] : bShape[1];
  if (batched || 2 * m * k * n < MIN_FLOPS || (bias && util.sizeFromShape(bias.shape) !== n))
    return undefined;
  const floats = (tensor: TensorInfo): Float32Array => backend.typedArrayFromHeap(tensor) as Float32Array;
  const values = withOps(binding, (ops) => {
    let result = ops.matmul(
      ops.floats(aShape, floats(a)),
      ops.floats(bShape, floats(b)),
      transposeA,
      transposeB,
    );
    if (bias) result = ops.addBias(result, ops.floats([n], floats(bias)));
    return ops.readFloats(relu ? ops.relu(result) : result);
  });
  const out = backend.makeOutput(
    [...(a.shape.length > b.shape.length ? a : b).shape.slice(0, -2), m, n],
    'float32',
  );
  floats(out).set(values);
  return out;
}

function encode(
  binding: Binding,
  backend: WasmBackend,
  inputs: Infos<EncodeActiveInputs>,
  k: number,
): Infos<EncodeActiveOutputs> {
  const floats = (tensor: TensorInfo): Float32Array => backend.typedArrayFromHeap(tensor) as Float32Array;
  const { x, W_enc, b_enc, b_dec } = inputs;
  const [rows, dModel] = x.shape as [number, number];
  const nLatents = b_enc.shape[0]!;
  const lists = encodeTopK(binding, {
    x: b_dec ? centred(floats(x), floats(b_dec)) : floats(x),
    rows,
    dModel,
    W_enc: floats(W_enc),
    b_enc: floats(b_enc),
    nLatents,
    k,
  });
  const output = (shape: number[], dtype: string, values: Float32Array | Int32Array): TensorInfo => {
    const tensor = backend.makeOutput(shape, dtype);
    backend.typedArrayFromHeap(tensor).set(values);
    return tensor;
  };
  return {
    indices: output([rows, k], 'int32', lists.indices),
    values: output([rows, k], 'float32', lists.values),
    counts: output([rows], 'int32', lists.counts),
  };
}

function centred(x: Float32Array, mean: Float32Array): Float32Array {
  const out = new Float32Array(x.length);
  const d = mean.length;
  for (let i = 0; i < x.length; i++) out[i] = x[i]! - mean[i % d]!;
  return out;
}

function replace(kernelName: string, kernelFunc: KernelFunc): void {
  unregisterKernel(kernelName, 'wasm');
  registerKernel({ kernelName, backendName: 'wasm', kernelFunc });
}
