/** One call that makes WebGPU the current backend of a page or worker, or wasm where that was asked for. */
import type { BackendDescription } from '@msae/core';
import type { WasmOptions } from '@msae/wasm';
import { registerWebGpu, type WebGpuOptions } from './device.ts';

export interface UseWebGpuOptions extends WebGpuOptions {
  /** What to do without a usable WebGPU: `error` (default), or `wasm`. */
  fallback?: 'error' | 'wasm';
  /** Told why WebGPU was passed over, before wasm starts. */
  onFallback?: (reason: Error) => void;
  /** How wasm starts if it has to; a bundled page must say where its binaries are (`wasmPaths`). */
  wasm?: WasmOptions;
  /** The GPU object; default `navigator.gpu`. */
  gpu?: GPU | undefined;
}

/**
 * Registers tfjs's `webgpu` backend on a device of our own (every limit of the adapter, errors and a lost device reach the
 * handlers) and makes it current.
 *
 * @throws Error if there is no usable WebGPU and no fallback was asked for: why, and what to do.
 */
export async function useWebGpu(options: UseWebGpuOptions = {}): Promise<BackendDescription> {
  const { fallback = 'error', onFallback, wasm, ...webGpu } = options;
  const gpu = 'gpu' in options ? options.gpu : globalThis.navigator?.gpu;
  try {
    if (!gpu) {
      throw new Error(
        'webgpu: this browser has no navigator.gpu; use a current Chrome, Edge, Firefox or Safari on a page served over ' +
          'https or from localhost, or pass { fallback: "wasm" }.',
      );
    }
    return await registerWebGpu(gpu, webGpu);
  } catch (error) {
    if (fallback !== 'wasm') throw error;
    onFallback?.(error instanceof Error ? error : new Error(String(error)));
    const { useWasm } = await import('@msae/wasm');
    return useWasm(wasm);
  }
}
