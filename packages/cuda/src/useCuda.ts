/** NVIDIA GPUs: registers the backend and says what it found. */
import { type BackendDescription, describeBackend, ownKernels } from '@msae/core/backend';
import { check, choice, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { CudaBackend } from './backend.ts';
import { openDevice } from './device.ts';
import { deviceError } from './errors.ts';
import { BACKEND } from './ops/register.ts';
import { registerKernels } from './registerKernels.ts';

/** Options of {@link useCuda}. */
export interface CudaOptions {
  /** Which GPU, counted from 0 as CUDA_VISIBLE_DEVICES leaves them. Default 0. */
  device?: number;
  /**
   * How the encoder multiplies. `tf32` (default): on the tensor cores, and everything that their error leaves open again in
   * float32: the lists are those of float32. `float32`: all of it in float32. Other matrix products are always float32.
   */
  matmul?: 'tf32' | 'float32';
  /** Bytes that tensors and scratch buffers may take together. Default: the device's memory. */
  memoryLimit?: number;
}

/** What {@link useCuda} takes. */
export const cudaOptionsSchema: Schema<CudaOptions> = object<CudaOptions>({
  device: optional(whole({ min: 0, help: 'which GPU, as CUDA_VISIBLE_DEVICES numbers them' }), 0),
  matmul: optional(choice(['tf32', 'float32'], { help: 'how the encoder multiplies' }), 'tf32'),
  memoryLimit: optional(number({ above: 0, help: 'bytes for tensors and scratch together' })),
});

/** What the backend has in use on the device, in bytes. */
export interface CudaMemory {
  readonly usedBytes: number;
  /** The most that was in use since the backend started or {@link resetCudaPeak} was called. */
  readonly peakBytes: number;
  readonly limitBytes: number;
}

/**
 * A readback waits for the encoder, but costs less than the lists that never overflow would (they are as wide as the widest row
 * could be). Sparse and dense cost the same where active latents take as long as float32 products of all of them: on an H200 at
 * d 768, N 24,576, B 4,096, 11 µs an active latent of a row against 20 ms, and sooner where N is small. cuBLAS reads operands
 * either way.
 */
describeBackend(BACKEND, {
  canReadSync: true,
  tolerance: 1e-4,
  breakEvenDensity: [0.04, 0.08],
  transposedMatMul: { left: true, right: true },
});

let current: CudaBackend | undefined;

/**
 * Registers the CUDA backend under the name `cuda` and makes it tfjs's current one. Calling it again replaces the backend (its
 * tensors are gone).
 *
 * @throws MsaeError `option` for bad options, `missing` without NVRTC or cuBLAS, `device` where the driver or the device is
 * missing or too old; later `device` from any operation that would not fit (`details`: requestedBytes, usedBytes, limitBytes).
 */
export async function useCuda(options: CudaOptions = {}): Promise<BackendDescription> {
  const { device: index = 0, matmul, memoryLimit } = check(cudaOptionsSchema, options, 'useCuda');
  const device = openDevice({ index, memoryLimit, tf32: matmul === 'tf32' });
  device.cublas(); // says now what is missing, not in the first step
  const backend = new CudaBackend(device);
  if (tf.findBackendFactory(BACKEND) !== null) tf.removeBackend(BACKEND);
  current = backend;
  tf.registerBackend(BACKEND, () => backend, 4);
  registerKernels();
  if (!(await tf.setBackend(BACKEND))) throw deviceError('tfjs refused the backend');
  const { limitBytes } = device.allocator;
  const version = device.driver.version;
  return {
    name: 'cuda',
    device: `${device.name}${device.arch === undefined ? '' : ` (${device.arch})`}, CUDA ${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`,
    precision: 'float32',
    threads: 1,
    limits: { maxTensorBytes: Math.min(limitBytes, 4 * (2 ** 31 - 1)), maxMemoryBytes: limitBytes },
    kernels: ownKernels(),
  };
}

/** Memory of the current CUDA backend. @throws MsaeError `state` before {@link useCuda}. */
export function cudaMemory(): CudaMemory {
  const { allocator } = required().device;
  return {
    usedBytes: allocator.usedBytes(),
    peakBytes: allocator.peakBytes(),
    limitBytes: allocator.limitBytes,
  };
}

/** Starts a new measurement of `peakBytes`. */
export function resetCudaPeak(): void {
  required().device.allocator.resetPeak();
}

/** Waits until the device has done everything it was asked for. */
export function synchroniseCuda(): void {
  const { driver, stream } = required().device;
  driver.synchronise(stream);
}

/**
 * Measures every kernel on the device from now on (which slows the host a little); the function returned stops and gives calls
 * and milliseconds by kernel.
 */
export function profileCuda(): () => Record<string, { calls: number; milliseconds: number }> {
  return required().device.profile();
}

function required(): CudaBackend {
  if (current === undefined) throw msaeError('state', 'cuda: call useCuda() first');
  return current;
}

/** The device of the current backend, for the checks of this package. */
export function currentDevice(): CudaBackend['device'] {
  return required().device;
}
