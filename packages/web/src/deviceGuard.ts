/**
 * What stock tfjs leaves out around a WebGPU device, where each omission ends in silent zeros:
 * a tensor over the device's limits is refused before it is allocated, a rejected command makes every later
 * read fail, and a lost device fails at once instead of at some later `mapAsync`.
 */
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';

/** Thrown by every operation after the device was lost. Narrow it with {@link isWebGpuDeviceLost}. */
export const DEVICE_LOST = 'WebGpuDeviceLostError';

/** True for the error that a lost WebGPU device causes (works across two copies of this package). */
export function isWebGpuDeviceLost(error: unknown): boolean {
  return error instanceof Error && error.name === DEVICE_LOST;
}

/** The largest tensor, in bytes, that `device` can hold and bind to a shader. */
export function maxTensorBytes(device: GPUDevice): number {
  return Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
}

/** Handlers for what happens on the device outside any call. */
export interface DeviceHandlers {
  /** A command was rejected or memory ran out. The results computed since then are wrong. */
  onError?: ((error: Error) => void) | undefined;
  /** The device is gone (driver reset, sleep, GPU process crash). Tensors on it are gone too. */
  onLost?: ((error: Error) => void) | undefined;
}

export interface DeviceGuard {
  /** The first failure of the device, or `undefined` while it is healthy. */
  failure(): Error | undefined;
  /** Announces that the device is about to be destroyed on purpose: no handler is called for it. */
  release(): void;
}

/**
 * Guards `backend` in place.
 *
 * @throws (from tfjs operations, later) an error that names the size and the limit when a tensor is too large;
 *   {@link DEVICE_LOST} after a loss; the first uncaptured GPU error when data is read after it.
 */
export function guardDevice(backend: WebGPUBackend, handlers: DeviceHandlers = {}): DeviceGuard {
  const { device } = backend;
  const limit = maxTensorBytes(device);
  let failure: Error | undefined;
  let lost = false;
  let released = false;

  const whenLost = device.lost.then((info) => {
    lost = true;
    failure = deviceLostError(info);
    if (!released) handlers.onLost?.(failure);
  });
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    const error = new Error(
      `webgpu: the GPU rejected a command, so the results computed since then are wrong: ${event.error.message} — resume from the last checkpoint on a newly registered device.`,
    );
    failure ??= error;
    handlers.onError?.(error);
  });

  const { bufferManager } = backend;
  const acquire = bufferManager.acquireBuffer.bind(bufferManager);
  bufferManager.acquireBuffer = (size, usage, mapped, reuse) => {
    if (lost) throw failure;
    if (usage & GPUBufferUsage.STORAGE && size > limit) throw tooLargeError(size, limit);
    return acquire(size, usage, mapped, reuse);
  };

  const read = backend.read.bind(backend);
  backend.read = async (dataId) => {
    const cached = backend.tensorMap.get(dataId)?.values != null;
    if (failure && !cached) throw failure;
    try {
      const values = await read(dataId);
      if (failure && !cached) throw failure;
      return values;
    } catch (error) {
      // A rejected mapAsync usually arrives just before `device.lost` settles, which says why.
      if (!failure) await Promise.race([whenLost, new Promise((resolve) => setTimeout(resolve, 100))]);
      throw failure ?? error;
    }
  };

  if (typeof OffscreenCanvas === 'undefined') {
    const readSync = backend.readSync.bind(backend);
    backend.readSync = (dataId) => {
      if (backend.tensorMap.get(dataId)?.values != null) return readSync(dataId);
      throw new Error(
        'webgpu: a tensor cannot be read synchronously here (dataSync, arraySync, print, or moving it to another backend); await tensor.data() first.',
      );
    };
  }

  return {
    failure: () => failure,
    release: () => {
      released = true;
    },
  };
}

function deviceLostError(info: GPUDeviceLostInfo): Error {
  const why = info.message.trim() || 'no message';
  const error = new Error(
    `webgpu: the device was lost (${info.reason || 'unknown'}: ${why}). Its tensors are gone; register the backend again and resume from the last checkpoint.`,
  );
  error.name = DEVICE_LOST;
  return error;
}

function tooLargeError(size: number, limit: number): Error {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return new RangeError(
    `webgpu: a tensor of ${mib(size)} was asked for, but this device holds at most ${mib(limit)} in one buffer; lower the batch size or nLatents, or use another backend.`,
  );
}
