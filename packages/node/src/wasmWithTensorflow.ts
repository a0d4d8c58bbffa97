/**
 * The wasm backend with its encoder on libtensorflow: tensors and the sparse kernels stay in wasm memory, and the one dense
 * product of a sparse step, x W_enc, runs where it is fastest on a CPU. No tensor changes its backend.
 */
import { type EncodeActiveAttrs, KERNEL } from '@msae/core';
import {
  findBackend,
  getKernel,
  type KernelFunc,
  type NamedTensorInfoMap,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { createTensorflowEncoder, type TensorflowEncoder } from './tensorflowEncoder.ts';

/** The members of tfjs's BackendWasm used here. */
interface WasmBackend {
  makeOutput(shape: number[], dtype: string): TensorInfo;
  /** A view of the tensor in wasm memory. */
  typedArrayFromHeap(tensor: TensorInfo): Float32Array | Int32Array;
}

let wasmKernel: KernelFunc | undefined;

/**
 * Replaces the top-k encoder of the (already registered) wasm backend; other activations keep wasm's own.
 *
 * @throws when no libtensorflow is usable.
 */
export async function encodeWithTensorflow(options: { threads?: number } = {}): Promise<void> {
  if (wasmKernel) return;
  const original = getKernel(KERNEL.encodeActive, 'wasm')?.kernelFunc;
  if (!original || !findBackend('wasm'))
    throw new Error('encoder: the wasm backend of @msae/wasm is not registered.');
  const encoder = await createTensorflowEncoder(options);
  wasmKernel = original;
  unregisterKernel(KERNEL.encodeActive, 'wasm');
  registerKernel({
    kernelName: KERNEL.encodeActive,
    backendName: 'wasm',
    kernelFunc: (params) => {
      const attrs = params.attrs as unknown as EncodeActiveAttrs;
      if (attrs.mode !== 'topk' || attrs.capacity !== attrs.keep) return original(params);
      return encodeTopK(encoder, params.backend as unknown as WasmBackend, params.inputs, attrs.keep);
    },
  });
}

/** Gives the wasm backend its own encoder back. */
export function encodeWithWasm(): void {
  if (!wasmKernel) return;
  unregisterKernel(KERNEL.encodeActive, 'wasm');
  registerKernel({ kernelName: KERNEL.encodeActive, backendName: 'wasm', kernelFunc: wasmKernel });
  wasmKernel = undefined;
}

function encodeTopK(
  encoder: TensorflowEncoder,
  backend: WasmBackend,
  inputs: NamedTensorInfoMap,
  k: number,
): TensorInfo[] {
  const view = (tensor: TensorInfo): Float32Array => backend.typedArrayFromHeap(tensor) as Float32Array;
  const { x, W_enc, b_enc, b_dec } = inputs as Record<'x' | 'W_enc' | 'b_enc', TensorInfo> & {
    b_dec?: TensorInfo;
  };
  const [rows, dModel] = x.shape as [number, number];
  const nLatents = b_enc.shape[0]!;
  const lists = encoder.encodeTopK({
    x: b_dec ? centred(view(x), view(b_dec)) : view(x),
    rows,
    dModel,
    W_enc: view(W_enc),
    b_enc: view(b_enc),
    nLatents,
    k,
  });
  const output = (shape: number[], dtype: string, values: Float32Array | Int32Array): TensorInfo => {
    const tensor = backend.makeOutput(shape, dtype);
    backend.typedArrayFromHeap(tensor).set(values);
    return tensor;
  };
  return [
    output([rows, k], 'int32', lists.indices),
    output([rows, k], 'float32', lists.values),
    output([rows], 'int32', lists.counts),
  ];
}

function centred(x: Float32Array, mean: Float32Array): Float32Array {
  const out = new Float32Array(x.length);
  const d = mean.length;
  for (let i = 0; i < x.length; i++) out[i] = x[i]! - mean[i % d]!;
  return out;
}
