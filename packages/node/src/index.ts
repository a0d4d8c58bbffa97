/**
 * Backends in Node.
 *
 * ```ts
 * import { useNode } from '@msae/node';
 * const backend = await useNode(); // CUDA, libtensorflow, WebGPU or wasm: the best there is
 * console.log(backend.name, backend.device);
 * ```
 */

export { isWebGpuDeviceLost, trimWebGpuBuffers } from '@msae/web';
export { BACKENDS, type BackendName, type NodeOptions, releaseNode, useNode } from './useNode.ts';
