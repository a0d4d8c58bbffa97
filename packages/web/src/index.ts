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
export { releaseWebGpu, trimWebGpuBuffers } from './device.ts';
export type { UseWebGpuOptions } from './options.ts';
export { useWebGpu } from './useWebGpu.ts';
export { callback, exposeInWorker, linkWorker, moved, type WorkerLink } from './workerLink.ts';
