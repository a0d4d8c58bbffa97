/** One call that makes the best backend of this machine current, or exactly the one asked for. */
import { type BackendDescription, ownKernels } from '@msae/core/backend';
import { check, choice, givenBy, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import { backend, setBackend } from '@tensorflow/tfjs-core';
import { releaseDawn, useDawn } from './dawnBackend.ts';
import { useTensorflow } from './tensorflowBackend.ts';
import { multiplyWithTensorflow, multiplyWithWasm } from './wasmWithTensorflow.ts';

/** In the order in which `auto` tries them. */
export const BACKENDS = ['cuda', 'tensorflow', 'webgpu', 'wasm', 'cpu'] as const;

export type BackendName = (typeof BACKENDS)[number];

export interface NodeOptions {
  /**
   * `auto` (default): CUDA, libtensorflow on the CPU, WebGPU on a real GPU, wasm, plain JavaScript: the first that works.
   * A name: that one or an error.
   */
  backend?: 'auto' | BackendName;
  /**
   * `wasm`: where large matrix products run. `tensorflow` keeps every tensor in wasm memory and does the products on
   * libtensorflow. Default `wasm`.
   */
  matmul?: 'wasm' | 'tensorflow';
  /** CPU threads of `tensorflow` and `wasm`; default: all cores. */
  threads?: number;
  /** `webgpu`: a command was rejected; results computed since then are wrong. */
  onError?: (error: Error) => void;
  /** `webgpu`: the device is gone, with its tensors. */
  onLost?: (error: Error) => void;
  /** `auto`: told of every backend that was passed over, and why. */
  onSkip?: (backend: BackendName, reason: string) => void;
}

const callback = <T>(help: string): Schema<T> =>
  optional(givenBy<T>('a function', (value) => typeof value === 'function', { help }));

/** Checks {@link NodeOptions}. */
export const nodeOptionsSchema: Schema<NodeOptions> = object<NodeOptions>({
  backend: optional(choice(['auto', ...BACKENDS], { help: 'where it runs' })),
  matmul: optional(choice(['wasm', 'tensorflow'], { help: 'where large products of the wasm backend run' })),
  threads: optional(whole({ min: 1, help: 'CPU threads' })),
  onError: callback<NonNullable<NodeOptions['onError']>>('told of a rejected command'),
  onLost: callback<NonNullable<NodeOptions['onLost']>>('told that the device is gone'),
  onSkip: callback<NonNullable<NodeOptions['onSkip']>>('told of every backend passed over'),
});

/**
 * Registers a backend of tfjs, makes it the current one and describes it.
 *
 * @throws MsaeError `option` for an unknown option, `device` when a backend asked for by name is not usable: why, and how to get it.
 */
export async function useNode(options: NodeOptions = {}): Promise<BackendDescription> {
  const { backend: wanted = 'auto', onSkip } = check(nodeOptionsSchema, options, 'useNode');
  if (wanted !== 'auto') return start(wanted, options, true);
  for (const name of BACKENDS) {
    try {
      return await start(name, options, false);
    } catch (error) {
      onSkip?.(name, error instanceof Error ? error.message : String(error));
    }
  }
  throw msaeError(
    'device',
    'No backend works, not even plain JavaScript: is @tensorflow/tfjs-backend-cpu 4.22.0 installed?',
  );
}

/**
 * Lets the process end by itself: releases the WebGPU device, which otherwise keeps Node alive. Tensors on it are
 * gone. Harmless on any other backend.
 */
export function releaseNode(): void {
  releaseDawn();
}

async function start(name: BackendName, options: NodeOptions, named: boolean): Promise<BackendDescription> {
  const { threads, onError, onLost } = options;
  switch (name) {
    case 'cuda':
      return useTensorflow({ device: 'gpu', threads });
    case 'tensorflow':
      return useTensorflow({ device: 'cpu', threads });
    case 'webgpu':
      return useDawn({ onError, onLost, allowFallback: named });
    case 'wasm': {
      const { useWasm } = await import('@msae/wasm');
      const limited = threads === undefined ? {} : { threads };
      const description = await useWasm(limited);
      if (options.matmul !== 'tensorflow') {
        multiplyWithWasm();
        return description;
      }
      await multiplyWithTensorflow(limited);
      return { ...description, device: `${description.device}, products on libtensorflow` };
    }
    case 'cpu':
      return useCpu();
  }
}

async function useCpu(): Promise<BackendDescription> {
  await import('@tensorflow/tfjs-backend-cpu');
  await setBackend('cpu');
  (backend() as { firstUse?: boolean }).firstUse = false; // its advice to install tfjs-node goes to the console
  return {
    name: 'cpu',
    device: 'JavaScript',
    precision: 'float32',
    threads: 1,
    limits: {},
    kernels: ownKernels(),
  };
}
