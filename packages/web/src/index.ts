/**
 * WebGPU for the browser, and a worker so that training never blocks the page.
 *
 * @example
 * ```ts
 * import { useWebGpu } from '@msae/web';
 *
 * const backend = await useWebGpu({ fallback: 'wasm', onFallback: (why) => console.warn(why.message) });
 * console.log(backend.name, backend.device);
 * ```
 *
 * @module
 */
export {
  registerWebGpu,
  releaseWebGpu,
  requestWebGpuAdapter,
  trimWebGpuBuffers,
  type WebGpuOptions,
  webGpuFailure,
} from './device.ts';
export { type DeviceHandlers, isWebGpuDeviceLost } from './deviceGuard.ts';
export { type UseWebGpuOptions, useWebGpu } from './useWebGpu.ts';
export { callback, exposeInWorker, isWorkerGone, linkWorker, moved, type WorkerLink } from './workerLink.ts';
