/**
 * The tfjs WebGPU backend on a device of our own: every compute limit of the adapter (tfjs asks for six of them),
 * guarded by deviceGuard.ts. Takes the `GPU` object, so that browsers and Dawn in Node share it.
 */
import type { BackendDescription } from '@msae/core';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  findBackend,
  findBackendFactory,
  getKernelsForBackend,
  registerBackend,
  removeBackend,
  setBackend,
} from '@tensorflow/tfjs-core';
import { type DeviceGuard, type DeviceHandlers, guardDevice, maxTensorBytes } from './deviceGuard.ts';
import { registerWebGpuKernels } from './kernels/registerKernels.ts';

export interface WebGpuOptions extends DeviceHandlers {
  /** Accept a software adapter such as SwiftShader (correct, but slower than wasm). Default `false`. */
  allowFallback?: boolean;
  /** Passed to `requestAdapter`. Default `'high-performance'`. */
  powerPreference?: GPUPowerPreference;
}

const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxUniformBufferBindingSize',
  'maxBindingsPerBindGroup',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof GPUSupportedLimits)[];

const FEATURES: readonly GPUFeatureName[] = ['timestamp-query', 'shader-f16', 'subgroups'];

let current: { backend: WebGPUBackend; guard: DeviceGuard } | undefined;

/** The adapter of `gpu`, or an error that says why there is none that may be used. */
export async function requestWebGpuAdapter(gpu: GPU, options: WebGpuOptions = {}): Promise<GPUAdapter> {
  const { allowFallback = false, powerPreference = 'high-performance' } = options;
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (!adapter) {
    throw new Error(
      'webgpu: no adapter was found; a GPU with a Vulkan, Metal or Direct3D 12 driver is needed (in Chrome see chrome://gpu).',
    );
  }
  if (!allowFallback && isSoftware(adapter)) {
    throw new Error(
      `webgpu: only a software adapter was found (${adapterName(adapter)}), which is slower than wasm; pass allowFallback: true to use it all the same.`,
    );
  }
  return adapter;
}

/**
 * Registers tfjs's `webgpu` backend on a new device of `gpu` and makes it the current backend. A backend
 * registered before is disposed with its tensors, so this is also the way back after a lost device.
 *
 * @throws when there is no adapter, only a software one (see `allowFallback`), or no device can be made.
 */
export async function registerWebGpu(gpu: GPU, options: WebGpuOptions = {}): Promise<BackendDescription> {
  const adapter = await requestWebGpuAdapter(gpu, options);
  const device = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  releaseWebGpu();
  // Importing the package registers its own factory, which would take a default device.
  if (findBackendFactory('webgpu')) removeBackend('webgpu');
  const instance = new WebGPUBackend(device, adapter.info);
  const guard = guardDevice(instance, options);
  registerWebGpuKernels();
  registerBackend('webgpu', () => instance, 3);
  current = { backend: instance, guard };
  if (!(await setBackend('webgpu'))) throw new Error('webgpu: tfjs could not initialise its backend.');
  return describeWebGpu(adapter, device);
}

/**
 * Destroys the buffers that tfjs keeps for reuse; its pool only ever grows, by one free list for each tensor size.
 * Returns the number of bytes given back. Cheap enough to call between phases, not in every step.
 */
export async function trimWebGpuBuffers(): Promise<number> {
  if (!current) return 0;
  const { bufferManager, queue } = current.backend;
  await queue.onSubmittedWorkDone();
  const pool = bufferManager as unknown as { freeBuffers: Map<string, GPUBuffer[]>; numFreeBuffers: number };
  let freed = 0;
  for (const list of pool.freeBuffers.values()) {
    for (const buffer of list) {
      buffer.destroy();
      freed += buffer.size;
    }
    pool.numFreeBuffers -= list.length;
    list.length = 0;
  }
  bufferManager.numBytesAllocated -= freed;
  return freed;
}

/** Removes the `webgpu` backend with all its tensors and destroys the device. Does nothing if there is none. */
export function releaseWebGpu(): void {
  if (!current) return;
  const { backend: instance, guard } = current;
  current = undefined;
  guard.release();
  if (findBackend('webgpu') === instance) removeBackend('webgpu');
  instance.device.destroy();
}

/** The failure of the current device (lost, or a rejected command), if there was one. */
export function webGpuFailure(): Error | undefined {
  return current?.guard.failure();
}

function describeWebGpu(adapter: GPUAdapter, device: GPUDevice): BackendDescription {
  return {
    name: 'webgpu',
    device: adapterName(adapter) + (isSoftware(adapter) ? ' (software)' : ''),
    precision: 'float32',
    threads: 1,
    limits: { maxTensorBytes: maxTensorBytes(device) },
    kernels: getKernelsForBackend('webgpu')
      .map((kernel) => kernel.kernelName)
      .filter((name) => name.startsWith('Msae')),
  };
}

function isSoftware(adapter: GPUAdapter): boolean {
  return (
    adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(adapterName(adapter))
  );
}

function adapterName(adapter: GPUAdapter): string {
  const { description, vendor, architecture } = adapter.info;
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter';
}
