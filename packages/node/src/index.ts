/**
 * Backends in Node.
 *
 * ```ts
 * import { useNode } from '@msae/node';
 * const backend = await useNode(); // CUDA, libtensorflow, WebGPU or wasm: the best there is
 * console.log(backend.name, backend.device);
 * ```
 */

export { trimWebGpuBuffers } from '@msae/web';
export { nativeDirectory } from './nativeBuild.ts';
export { type BackendProbe, type ProbeOptions, type ProbeReport, probeBackends } from './probeBackends.ts';
export type { Check } from './setup/machine.ts';
export {
  type NativeSource,
  type SetupNativeOptions,
  type SetupNativeResult,
  setupNative,
} from './setup/setupNative.ts';
export {
  BACKENDS,
  type BackendName,
  type NodeOptions,
  nodeOptionsSchema,
  releaseNode,
  useNode,
} from './useNode.ts';
