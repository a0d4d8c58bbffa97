/**
 * NVIDIA GPUs for msae: a tfjs backend of our own ("cuda") over the driver API, cuBLAS and NVRTC, with hand-written kernels for
 * the sparse training step. Nothing is compiled at install.
 *
 * @example
 * ```ts
 * import { useCuda } from '@msae/cuda';
 *
 * const { device, kernels } = await useCuda();
 * ```
 *
 * @module
 */
export {
  type CudaMemory,
  type CudaOptions,
  cudaMemory,
  cudaOptionsSchema,
  profileCuda,
  resetCudaPeak,
  synchroniseCuda,
  useCuda,
} from './useCuda.ts';
