import { isMsaeError, matryoshkaStep } from '@msae/core';
import { conformanceChecks, type GoldenCase, runGoldenCase } from '@msae/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import golden from '../../core/test/fixtures/matryoshka-loss.json';
import { releaseWebGpu, trimWebGpuBuffers, useWebGpu } from '../src/index.ts';

const cases = golden as unknown as GoldenCase[];

describe('dense step on webgpu in Chromium', () => {
  beforeAll(async () => {
    const backend = await useWebGpu({ allowFallback: true });
    expect(backend.name).toBe('webgpu');
    expect(tf.getBackend()).toBe('webgpu');
  });

  it.each(cases.map((entry) => [entry.name, entry] as const))('golden %s', async (_name, entry) => {
    const result = await runGoldenCase(entry, matryoshkaStep);
    expect(result.worst, JSON.stringify(result.errors)).toBeLessThan(2e-4);
    expect(result.leaked).toBe(0);
  });

  it.each(conformanceChecks().map((check) => [check.name, check] as const))('%s', (_name, check) =>
    check.run(),
  );

  it('gives pooled buffers back', async () => {
    const a = tf.zeros([1000, 1000]);
    tf.tidy(() => tf.add(a, 1));
    await tf.add(a, 1).data();
    a.dispose();
    expect(await trimWebGpuBuffers()).toBeGreaterThan(4_000_000);
  });

  it('refuses a tensor over the device limit instead of giving zeros', () => {
    const [a, b] = [tf.ones([2 ** 14 + 1, 1]), tf.ones([1, 2 ** 14])];
    expect(() => tf.matMul(a, b)).toThrow(/1024.1 MiB was asked for, but this device holds at most/);
    const error = (() => {
      try {
        tf.matMul(a, b);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(isMsaeError(error, 'device')).toBe(true);
    tf.dispose([a, b]);
  });

  it('a device lost in the middle of a step is a clear error', async () => {
    const backend = tf.backend() as unknown as { device: GPUDevice };
    // tfjs computes on the CPU what is small enough, so this is not.
    const x = tf.add(tf.ones([100, 100]), tf.ones([100, 100]));
    await tf.mul(x, x).data();
    backend.device.destroy();
    await backend.device.lost;
    const error = await (async () => tf.matMul(x, x).data())().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect((error as Error).message).toMatch(/the device was lost .* resume from the last checkpoint/);
    expect(isMsaeError(error, 'device') && error.details).toEqual({ lost: 'device' });
    releaseWebGpu();
    await useWebGpu({ allowFallback: true });
    expect(await tf.add(tf.tensor1d([1]), 1).data()).toEqual(Float32Array.of(2));
  });
});

describe('useWebGpu without WebGPU', () => {
  it('says what is missing', async () => {
    await expect(useWebGpu({ gpu: undefined })).rejects.toThrow('this browser has no navigator.gpu');
    const noAdapter = { requestAdapter: async () => null } as unknown as GPU;
    await expect(useWebGpu({ gpu: noAdapter })).rejects.toThrow('no adapter was found');
  });

  it('refuses options that cannot be, with the nearest name, before it looks for a device', async () => {
    const refused = async (options: object, message: string): Promise<void> => {
      const error = await useWebGpu({ gpu: undefined, fallback: 'wasm', ...options }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(isMsaeError(error, 'option')).toBe(true);
      expect((error as Error).message).toContain(message);
    };
    await refused({ fallBack: 'wasm' }, 'useWebGpu: there is no option fallBack (did you mean fallback?)');
    await refused({ allowFallback: 'yes' }, 'useWebGpu: allowFallback: expected true or false, got "yes"');
    await refused({ fallback: 'cpu' }, 'useWebGpu: fallback: expected one of error, wasm, got "cpu"');
    await refused({ onLost: 3 }, 'useWebGpu: onLost: expected a function, got 3');
  });

  it('a software adapter is refused unless allowed', async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (adapter?.info.isFallbackAdapter)
      await expect(useWebGpu()).rejects.toThrow('only a software adapter was found');
    else expect((await useWebGpu()).device).not.toContain('software');
  });
});
