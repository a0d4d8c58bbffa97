/**
 * WebGPU in Node through the npm package `webgpu` (Dawn). Dawn keeps the process alive as long as its GPU object is
 * reachable: {@link releaseDawn} lets go of it.
 */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BackendDescription } from '@msae/core/backend';
import { msaeError } from '@msae/schema';
import { registerWebGpu, releaseWebGpu, type WebGpuOptions } from '@msae/web/device';
import { findPackage } from './findPackage.ts';
import { driverIsChosen, findSwiftShader, hasVulkanLoader, useSwiftShader } from './swiftShader.ts';

interface Dawn {
  create(flags: string[]): GPU;
  globals: Record<string, unknown>;
}

/**
 * Registers tfjs's `webgpu` backend on a Dawn device. With `allowFallback` and no GPU driver at all, a SwiftShader
 * found on the machine is used.
 *
 * @throws when the package is missing or has no binary for this platform, or when no adapter may be used.
 */
export async function useDawn(options: WebGpuOptions = {}): Promise<BackendDescription> {
  const dawn = await importDawn();
  Object.assign(globalThis, dawn.globals);
  try {
    return await registerWebGpu(await openGpu(dawn, options), options);
  } catch (error) {
    releaseDawn();
    throw error;
  }
}

/** Removes the `webgpu` backend, its device, and `navigator.gpu`, so that the process can end by itself. */
export function releaseDawn(): void {
  releaseWebGpu();
  held.length = 0;
  if (globalThis.navigator) Reflect.deleteProperty(globalThis.navigator, 'gpu');
}

async function importDawn(): Promise<Dawn> {
  const folder = findPackage('webgpu');
  if (!folder) {
    throw msaeError(
      'device',
      'webgpu: the package webgpu (Dawn) is not installed. Get it with: npm install webgpu@^0.6.2.',
    );
  }
  try {
    return (await import(pathToFileURL(join(folder, 'index.js')).href)) as Dawn;
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 1)[0] : String(error);
    throw msaeError(
      'device',
      `webgpu: the package in ${folder} does not load on ${process.platform}-${process.arch}: ${why}. Install it anew with: npm install webgpu@^0.6.2.`,
    );
  }
}

/**
 * Dawn may crash the process when a GPU object is collected while devices of another one are at work: all of them are kept
 * until releaseDawn, and one that still exists then is taken again.
 */
const held: GPU[] = [];
let latest: WeakRef<GPU> | undefined;

/** Makes `navigator.gpu`, which tfjs reads, and turns to SwiftShader when the machine has no driver of its own. */
async function openGpu(dawn: Dawn, options: WebGpuOptions): Promise<GPU> {
  process.env['XDG_RUNTIME_DIR'] ??= '/tmp'; // Vulkan loaders complain on stderr without it
  const software = options.allowFallback ? findSwiftShader() : undefined;
  let gpu = latest?.deref();
  if (!gpu) {
    if (!hasVulkanLoader()) {
      if (!software) {
        throw msaeError(
          'device',
          'webgpu: this machine has no Vulkan loader (libvulkan.so.1); install libvulkan1 and the driver of the GPU.',
        );
      }
      useSwiftShader(software);
    }
    gpu = dawn.create([]);
  }
  hold(gpu);
  if (!software || driverIsChosen() || (await gpu.requestAdapter())) return gpu;
  useSwiftShader(software);
  return hold(dawn.create([]));
}

function hold(gpu: GPU): GPU {
  held.push(gpu);
  latest = new WeakRef(gpu);
  if (globalThis.navigator === undefined) {
    Object.defineProperty(globalThis, 'navigator', { value: { userAgent: 'Node.js' }, configurable: true });
  }
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
  return gpu;
}
