/**
 * What stock tfjs leaves out around a WebGPU device, where each omission ends in silent zeros:
 * a tensor over the device's limits is refused before it is allocated, a rejected command makes every later
 * read fail, and a lost device fails at once instead of at some later `mapAsync`.
 */
import { msaeError } from '@msae/schema';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';

/** The largest tensor, in bytes, that `device` can hold and bind to a shader. */
export function maxTensorBytes(device: GPUDevice): number {
  return Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
}

/** Handlers for what happens on the device outside any call. */
export interface DeviceHandlers {
  /** A command was rejected or memory ran out. The results computed since then are wrong. */
  onError?: ((error: Error) => void) | undefined;
  /** The device is gone (driver reset, sleep, GPU process crash). Tensors on it are gone too; `details.lost` is `device`. */
  onLost?: ((error: Error) => void) | undefined;
}

export interface DeviceGuard {
  /** Announces that the device is about to be destroyed on purpose: no handler is called for it. */
  release(): void;
}

/**
 * Guards `backend` in place.
 *
 * @throws (from tfjs operations, later) MsaeError `device`: with the size and the limit when a tensor is too large; with
 *   `details.lost` after a loss; the first uncaptured GPU error when data is read after it. `unsupported` for a synchronous
 *   read where there can be none.
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
    const error = msaeError(
      'device',
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
      throw msaeError(
        'unsupported',
        'webgpu: a tensor cannot be read synchronously here (dataSync, arraySync, print, or moving it to another backend); await tensor.data() first.',
      );
    };
  }

  return {
    release: () => {
      released = true;
    },
  };
}

function deviceLostError(info: GPUDeviceLostInfo): Error {
  const why = info.message.trim() || 'no message';
  return msaeError(
    'device',
    `webgpu: the device was lost (${info.reason || 'unknown'}: ${why}). Its tensors are gone; register the backend again and resume from the last checkpoint.`,
    { lost: 'device' },
  );
}

function tooLargeError(size: number, limit: number): Error {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return msaeError(
    'device',
    `webgpu: a tensor of ${mib(size)} was asked for, but this device holds at most ${mib(limit)} in one buffer; lower the batch size or nLatents, or use another backend.`,
    { size, limit },
  );
}
