import * as tf from '@tensorflow/tfjs-core';
import { composedKernels } from './composed/composedKernels.ts';
import { registerCpuKernels } from './cpu/registerCpuKernels.ts';

/** Inputs by name; those that are `undefined` are left out. */
export type KernelInputs = Readonly<Record<string, tf.Tensor | undefined>>;

/** Runs one kernel of the contract: the backend's own where it has registered one, else its composition of stock ops. */
export function runKernel(name: string, inputs: KernelInputs, attrs: tf.NamedAttrMap = {}): tf.Tensor[] {
  const backend = tf.getBackend();
  if (backend === 'cpu') registerCpuKernels();
  const given: Record<string, tf.Tensor> = {};
  for (const [key, tensor] of Object.entries(inputs)) if (tensor !== undefined) given[key] = tensor;
  if (tf.getKernel(name, backend) === undefined) return composedKernels[name]!(given, attrs);
  const out = tf.engine().runKernel(name, given, attrs) as tf.Tensor | tf.Tensor[];
  return Array.isArray(out) ? out : [out];
}

/** Names of the contract's kernels that the current backend runs itself. */
export function ownKernels(names: readonly string[]): string[] {
  const backend = tf.getBackend();
  if (backend === 'cpu') registerCpuKernels();
  return names.filter((name) => tf.getKernel(name, backend) !== undefined);
}
