/** One call that makes WebGPU the current backend of a page or worker, or wasm where that was asked for. */
import type { BackendDescription } from '@msae/core/backend';
import { check, msaeError } from '@msae/schema';
import { registerWebGpu } from './device.ts';
import { type UseWebGpuOptions, useWebGpuOptionsSchema } from './options.ts';

/**
 * Registers tfjs's `webgpu` backend on a device of our own (every limit of the adapter, errors and a lost device reach the
 * handlers) and makes it current.
 *
 * @throws MsaeError `option` for options that cannot be; `device` if there is no usable WebGPU and no fallback was asked for:
 *   why, and what to do.
 */
export async function useWebGpu(options: UseWebGpuOptions = {}): Promise<BackendDescription> {
  const { fallback, onFallback, wasm, gpu, ...device } = check(useWebGpuOptionsSchema, options, 'useWebGpu');
  const found = 'gpu' in options ? gpu : globalThis.navigator?.gpu;
  try {
    if (!found) {
      throw msaeError(
        'device',
        'webgpu: this browser has no navigator.gpu; use a current Chrome, Edge, Firefox or Safari on a page served over ' +
          'https or from localhost, or pass { fallback: "wasm" }.',
      );
    }
    return await registerWebGpu(found, device);
  } catch (error) {
    if (fallback !== 'wasm') throw error;
    onFallback?.(error instanceof Error ? error : new Error(String(error)));
    const { useWasm } = await import('@msae/wasm');
    return useWasm(wasm);
  }
}
