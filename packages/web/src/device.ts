/**
 * The tfjs WebGPU backend on a device of our own: every compute limit of the adapter (tfjs asks for six of them),
 * guarded by deviceGuard.ts. Takes the `GPU` object, so that browsers and Dawn in Node share it.
 */
import { type BackendDescription, ownKernels } from '@msae/core/backend';
import { check, msaeError } from '@msae/schema';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import {
  findBackend,
  findBackendFactory,
  registerBackend,
  removeBackend,
  setBackend,
} from '@tensorflow/tfjs-core';
import { type DeviceGuard, guardDevice, maxTensorBytes } from './deviceGuard.ts';
import { registerWebGpuKernels } from './kernels/registerKernels.ts';
import { type WebGpuOptions, webGpuOptionsSchema } from './options.ts';

export type { WebGpuOptions } from './options.ts';

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

/** @throws MsaeError `device` that says why there is no adapter that may be used */
async function requestAdapter(gpu: GPU, options: WebGpuOptions): Promise<GPUAdapter> {
  const { allowFallback, powerPreference } = options;
  const adapter = await gpu.requestAdapter(powerPreference === undefined ? {} : { powerPreference });
  if (!adapter) {
    throw msaeError(
      'device',
      'webgpu: no adapter was found; a GPU with a Vulkan, Metal or Direct3D 12 driver is needed (in Chrome see chrome://gpu).',
    );
  }
  if (!allowFallback && isSoftware(adapter)) {
    throw msaeError(
      'device',
      `webgpu: only a software adapter was found (${adapterName(adapter)}), which is slower than wasm; pass allowFallback: true to use it all the same.`,
    );
  }
  return adapter;
}

/**
 * Registers tfjs's `webgpu` backend on a new device of `gpu` and makes it the current backend. A backend
 * registered before is disposed with its tensors, so this is also the way back after a lost device.
 *
 * @throws MsaeError `option` for options that cannot be; `device` when there is no adapter, only a software one (see
 *   `allowFallback`), or no device can be made.
 */
export async function registerWebGpu(gpu: GPU, options: WebGpuOptions = {}): Promise<BackendDescription> {
  const checked = check(webGpuOptionsSchema, options, 'webgpu');
  const adapter = await requestAdapter(gpu, checked);
  const device = await requestDevice(adapter);
  const { WebGPUBackend } = await import('@tensorflow/tfjs-backend-webgpu');
  releaseWebGpu();
  // Importing the package registers its own factory, which would take a default device.
  if (findBackendFactory('webgpu')) removeBackend('webgpu');
  const instance = new WebGPUBackend(device, adapter.info);
  const guard = guardDevice(instance, checked);
  registerWebGpuKernels();
  registerBackend('webgpu', () => instance, 3);
  current = { backend: instance, guard };
  if (!(await setBackend('webgpu')))
    throw msaeError('device', 'webgpu: tfjs could not initialise its backend.');
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

async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  try {
    return await adapter.requestDevice({
      requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw msaeError('device', `webgpu: ${adapterName(adapter)} gave no device: ${why}`, { cause });
  }
}

function describeWebGpu(adapter: GPUAdapter, device: GPUDevice): BackendDescription {
  return {
    name: 'webgpu',
    device: adapterName(adapter) + (isSoftware(adapter) ? ' (software)' : ''),
    precision: 'float32',
    threads: 1,
    limits: { maxTensorBytes: maxTensorBytes(device) },
    kernels: ownKernels(),
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
