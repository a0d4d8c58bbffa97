import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { conformanceChecks, sparseConformanceChecks } from '@msae/core/testing';
import { isMsaeError } from '@msae/schema';
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { releaseNode, trimWebGpuBuffers, useNode } from '../src/index.ts';

const errors: Error[] = [];
const losses: Error[] = [];
const start = () =>
  useNode({ backend: 'webgpu', onError: (e) => errors.push(e), onLost: (e) => losses.push(e) });

let reason = '';
await start().catch((error: Error) => {
  reason = error.message;
});

if (reason) it.skip(`no WebGPU here: ${reason}`, () => {});

describe.skipIf(reason)('webgpu through Dawn', () => {
  beforeAll(async () => {
    await start();
  });
  afterAll(() => releaseNode());

  const device = () => (tf.backend() as WebGPUBackend).device;

  it('describes its device and takes all its limits', async () => {
    const description = await start();
    expect(tf.getBackend()).toBe('webgpu');
    expect(description).toMatchObject({ name: 'webgpu', precision: 'float32' });
    expect(description.limits.maxTensorBytes).toBeGreaterThanOrEqual(2 ** 27);
    expect(device().limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
  });

  for (const check of conformanceChecks()) it(check.name, check.run);

  // the rest of the sparse suite runs in Chromium (packages/web); on a software device it takes a minute
  const kernels = /every kernel equals|equal their composition|odd sizes/;
  for (const check of sparseConformanceChecks()) if (kernels.test(check.name)) it(check.name, check.run);

  it('refuses a tensor over the limit before it is allocated', async () => {
    const { limits } = await start();
    const length = limits.maxTensorBytes! / 4 + 4;
    const before = tf.memory().numTensors;
    expect(() => tf.tidy(() => tf.fill([length], 1))).toThrow(
      /asked for, but this device holds at most .* MiB/,
    );
    expect(tf.memory().numTensors).toBe(before);
    const three = tf.fill([3], 2);
    expect(Array.from(await three.data())).toEqual([2, 2, 2]);
    three.dispose();
  });

  it('says that synchronous reads do not exist', () => {
    const x = tf.tidy(() => tf.matMul(tf.ones([9, 9]), tf.ones([9, 9])));
    expect(() => x.dataSync()).toThrow(/await tensor.data\(\)/);
    x.dispose();
  });

  it('gives pooled buffers back', async () => {
    const x = tf.tidy(() => tf.fill([400, 1000], 1.5));
    await x.data();
    x.dispose();
    expect(await trimWebGpuBuffers()).toBeGreaterThanOrEqual(400 * 1000 * 4);
    expect(await trimWebGpuBuffers()).toBe(0);
  });

  it('reports a rejected command and fails every later read', async () => {
    const x = tf.tidy(() => tf.fill([8, 8], 1));
    device().createBuffer({ size: 16, usage: 0 });
    await device().queue.onSubmittedWorkDone();
    await expect(x.data()).rejects.toThrow(/the GPU rejected a command/);
    expect(errors).toHaveLength(1);
    await start(); // a new device works again
    const y = tf.fill([2], 7);
    expect(Array.from(await y.data())).toEqual([7, 7]);
    y.dispose();
  });

  it('ends a step with one clear error when the device is lost in the middle of it', async () => {
    await start();
    const weights = tf.variable(tf.fill([64, 64], 0.5));
    const step = (): tf.Tensor => tf.tidy(() => tf.sum(tf.matMul(weights, weights)));
    await step().data();
    const pending = step().data();
    device().destroy();
    const error: unknown = await pending.catch((e: unknown) => e);
    expect(isMsaeError(error, 'device') && error.details.lost).toBe('device');
    expect(String(error)).toMatch(/device was lost .*resume from the last checkpoint/);
    expect(losses).toHaveLength(1);
    const before = tf.memory().numTensors;
    expect(step).toThrow(/device was lost/);
    expect(tf.memory().numTensors).toBe(before);
    await start();
    const y = tf.fill([2], 3);
    expect(Array.from(await y.data())).toEqual([3, 3]);
    y.dispose();
  });

  it('lets the process end by itself after releaseNode', async () => {
    const script = fileURLToPath(new URL('./fixtures/endsByItself.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), script],
      {
        timeout: 30_000,
      },
    );
    expect(stdout).toContain('webgpu 27\n');
  });
});
