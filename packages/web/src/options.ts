/** Options of a WebGPU device and of `useWebGpu`, each checked by one schema. */
import { choice, flag, givenBy, object, optional, type Schema } from '@msae/schema';
import type { WasmOptions } from '@msae/wasm';
import type { DeviceHandlers } from './deviceGuard.ts';

/** What to ask of a device, and whom to tell. */
export interface WebGpuOptions extends DeviceHandlers {
  /** Accept a software adapter such as SwiftShader (correct, but slower than wasm). Default `false`. */
  allowFallback?: boolean | undefined;
  /** Which adapter of several. Default `'high-performance'`. */
  powerPreference?: GPUPowerPreference | undefined;
}

export interface UseWebGpuOptions extends WebGpuOptions {
  /** What to do without a usable WebGPU: `error` (default), or `wasm`. */
  fallback?: 'error' | 'wasm' | undefined;
  /** Told why WebGPU was passed over, before wasm starts. */
  onFallback?: ((reason: Error) => void) | undefined;
  /** How wasm starts if it has to; a bundled page must say where its binaries are (`wasmPaths`). `useWasm` checks them. */
  wasm?: WasmOptions | undefined;
  /** The GPU object; default `navigator.gpu`. */
  gpu?: GPU | undefined;
}

const isFunction = (value: unknown): boolean => typeof value === 'function';
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

const entries = {
  allowFallback: optional(flag({ help: 'accept a software adapter, which is slower than wasm' }), false),
  powerPreference: optional(
    choice(['low-power', 'high-performance'], { help: 'which adapter of several' }),
    'high-performance',
  ),
  onError: optional(
    givenBy<(error: Error) => void>('a function', isFunction, { help: 'told of a rejected command' }),
  ),
  onLost: optional(
    givenBy<(error: Error) => void>('a function', isFunction, { help: 'told when the device is gone' }),
  ),
};

/** Checks {@link WebGpuOptions}. */
export const webGpuOptionsSchema: Schema<WebGpuOptions> = object<WebGpuOptions>(entries);

/** Checks {@link UseWebGpuOptions}. */
export const useWebGpuOptionsSchema: Schema<UseWebGpuOptions> = object<UseWebGpuOptions>({
  ...entries,
  fallback: optional(choice(['error', 'wasm'], { help: 'what to do without a usable WebGPU' }), 'error'),
  onFallback: optional(
    givenBy<(reason: Error) => void>('a function', isFunction, {
      help: 'told why WebGPU was passed over, before wasm starts',
    }),
  ),
  wasm: optional(
    givenBy<WasmOptions>('the options of useWasm', isObject, { help: 'how wasm starts if it has to' }),
  ),
  gpu: optional(
    givenBy<GPU>('a GPU object', isObject, { help: 'the GPU object; navigator.gpu unless it is given' }),
  ),
});
