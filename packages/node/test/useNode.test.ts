import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { nativeDirectory, useNode } from '../src/index.ts';
import { findNativeBuild } from '../src/nativeBuild.ts';

process.env['MSAE_NATIVE_DIR'] = mkdtempSync(join(tmpdir(), 'msae-none-'));

it('starts plain JavaScript', async () => {
  expect(await useNode({ backend: 'cpu' })).toMatchObject({ name: 'cpu', precision: 'float32', threads: 1 });
  expect(tf.getBackend()).toBe('cpu');
});

it('starts wasm with the threads asked for', async () => {
  const description = await useNode({ backend: 'wasm', threads: 2 });
  expect(description).toMatchObject({ name: 'wasm', threads: 2 });
  expect(tf.getBackend()).toBe('wasm');
});

it('says why a backend asked for by name is missing and how to get it, and keeps the current one', async () => {
  await useNode({ backend: 'cpu' });
  await expect(useNode({ backend: 'cuda' })).rejects.toThrow(
    /^cuda: no libtensorflow with CUDA.*msae setup-native/,
  );
  await expect(useNode({ backend: 'tensorflow' })).rejects.toThrow(
    /^tensorflow: no libtensorflow.*msae setup-native/,
  );
  expect(tf.getBackend()).toBe('cpu');
});

it('passes over what is missing, with reasons, when the choice is its own', async () => {
  const skipped: string[] = [];
  const { name } = await useNode({
    threads: 2,
    onSkip: (backend, why) => skipped.push(`${backend}: ${why}`),
  });
  expect(skipped.slice(0, 2).join('\n')).toMatch(/^cuda: .*\ntensorflow: /);
  expect(['webgpu', 'wasm']).toContain(name);
});

it('rejects bad options', async () => {
  await expect(useNode({ backend: 'metal' as 'cpu' })).rejects.toThrow(
    'useNode: backend: expected one of auto, cuda, tensorflow, webgpu, wasm, cpu, got "metal"',
  );
  await expect(useNode({ threads: 0 })).rejects.toThrow(
    'useNode: threads: expected a whole number ≥ 1, got 0',
  );
  await expect(useNode({ threads: 1.5 })).rejects.toThrow('got 1.5');
  await expect(useNode({ backend: 'wasm', encoder: 'tensorflow' } as never)).rejects.toThrow(
    'useNode: there is no option encoder; there are backend, matmul, threads',
  );
});

it('looks for native builds in MSAE_NATIVE_DIR, else in the cache folder', () => {
  expect(nativeDirectory({ MSAE_NATIVE_DIR: '/a' })).toBe('/a');
  if (process.platform === 'linux') expect(nativeDirectory({ XDG_CACHE_HOME: '/c' })).toBe('/c/msae/native');
  expect(findNativeBuild('cpu')).toBeUndefined();
});
