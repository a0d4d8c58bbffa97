/** Kernels of the sparse contract on libtensorflow that beat their composition. */
import {
  type AdamAttrs,
  composedKernels,
  type EncodeActiveAttrs,
  KERNEL,
  type PrefixLossAttrs,
} from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import { type AdamTensors, adamInPlace } from './tensorflowAdam.ts';
import type { OpAttr, TensorflowBackend } from './tensorflowOps.ts';
import { coversPrefixLoss, prefixLoss } from './tensorflowPrefixLoss.ts';
import { groupSize } from './topKGroups.ts';

let registered = false;

/** Registers the kernels once; they belong to the backend's name, not to an instance. */
export function registerTensorflowKernels(): void {
  if (registered) return;
  registered = true;
  const register = (
    kernelName: string,
    run: (backend: TensorflowBackend, call: KernelCall) => tf.Tensor[],
  ): void =>
    tf.registerKernel({
      kernelName,
      backendName: 'tensorflow',
      kernelFunc: ({ inputs, attrs, backend }) =>
        run(backend as unknown as TensorflowBackend, { inputs: inputs as Inputs, attrs: attrs ?? {} }),
    });
  register(KERNEL.encodeActive, (backend, { inputs, attrs }) => {
    const { mode, keep, capacity } = attrs as unknown as EncodeActiveAttrs;
    if (mode !== 'topk' || capacity !== keep) return composedKernels[KERNEL.encodeActive]!(inputs, attrs);
    return encodeTopK(backend, inputs, keep);
  });
  register(KERNEL.weightedPrefixDecode, (backend, { inputs, attrs }) => {
    const options = attrs as unknown as PrefixLossAttrs;
    if (coversPrefixLoss(options, inputs['indices']!.shape[1]!)) return prefixLoss(backend, inputs, options);
    return composedKernels[KERNEL.weightedPrefixDecode]!(inputs, attrs);
  });
  register(KERNEL.adam, (backend, { inputs, attrs }) => {
    adamInPlace(backend, inputs as unknown as AdamTensors, attrs as unknown as AdamAttrs);
    return [];
  });
  register(KERNEL.globalNorm, (backend, { inputs }) => globalNorm(backend, Object.values(inputs)));
}

type Inputs = Record<string, tf.Tensor>;

interface KernelCall {
  inputs: Inputs;
  attrs: tf.NamedAttrMap;
}

/** As tensorflowEncoder.ts, with tensors that stay where they are. */
function encodeTopK(backend: TensorflowBackend, inputs: Inputs, k: number): tf.Tensor[] {
  return tf.tidy(() => {
    const { x, W_enc, b_enc, b_dec } = inputs as Record<string, tf.Tensor2D>;
    const { binding } = backend;
    const [rows, n] = [x!.shape[0], b_enc!.shape[0]!];
    const float: OpAttr = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
    const format: OpAttr = { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' };
    const product = tf.matMul(b_dec ? tf.sub(x!, b_dec) : x!, W_enc!);
    const pre = backend.executeSingleOutput('BiasAdd', [float, format], [product, b_enc!]); // [B, N]
    const group = groupSize(n, k);
    let top: { values: tf.Tensor; indices: tf.Tensor };
    if (group === 1) {
      top = tf.topk(pre, k, false);
    } else {
      const grouped = tf.reshape(pre, [rows, n / group, group]);
      const groups = tf.topk(tf.max(grouped, 2), k, false).indices; // [B, k]
      const candidates = tf.reshape(tf.gather(grouped, groups, 1, 1), [rows, k * group]);
      const { values, indices } = tf.topk(candidates, k, false);
      const size = tf.scalar(group, 'int32');
      const chosen = tf.gather(groups, tf.floorDiv(indices, size), 1, 1);
      top = { values, indices: tf.add(tf.mul(chosen, size), tf.mod(indices, size)) };
    }
    return ascending(top, n);
  });
}

/** Sorts the lists by latent and pads what is not positive. */
function ascending({ values, indices }: { values: tf.Tensor; indices: tf.Tensor }, n: number): tf.Tensor[] {
  const k = values.shape[1]!;
  const listed = tf.greater(values, 0);
  const order = tf.where(listed, indices, tf.fill(indices.shape, n, 'int32'));
  const sorted = tf.topk(tf.neg(tf.cast(order, 'float32')), k, true); // exact: latents are below 2²⁴
  const counts = tf.cast(tf.sum(tf.cast(listed, 'float32'), 1), 'int32');
  return [tf.cast(tf.neg(sorted.values), 'int32'), tf.gather(tf.relu(values), sorted.indices, 1, 1), counts];
}

function globalNorm(backend: TensorflowBackend, tensors: tf.Tensor[]): tf.Tensor[] {
  const { binding } = backend;
  const float: OpAttr = { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT };
  return tf.tidy(() => {
    // L2Loss is Σt²/2 in one pass
    const halves = tensors.map((tensor) => backend.executeSingleOutput('L2Loss', [float], [tensor]));
    return [tf.reshape(tf.sqrt(tf.mul(tf.addN(halves), 2)), [1])];
  });
}
