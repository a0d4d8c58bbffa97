import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { createSae, disposeStep, sparseStep, topK } from '@msae/core';
import { isMsaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { sourceHash as currentHash } from '../scripts/buildKernels.ts';
import { sharedKernels, sourceHash } from '../src/generated/kernels.ts';
import { useWasm, wasmMemory } from '../src/index.ts';

const MIB = 2 ** 20;

describe('the compiled kernels', () => {
  it('are those of assembly/', () => {
    expect(sourceHash, 'run npx tsx packages/wasm/scripts/buildKernels.ts').toBe(currentHash());
  });

  it('bring no data of their own into the memory of tfjs', () => {
    const bytes = Buffer.from(sharedKernels, 'base64');
    const sections: number[] = [];
    for (let at = 8; at < bytes.length; ) {
      sections.push(bytes[at++]!);
      let [size, shift] = [0, 0];
      do {
        size |= (bytes[at]! & 127) << shift;
        shift += 7;
      } while (bytes[at++]! >= 128);
      at += size;
    }
    expect(sections).not.toContain(11);
  });
});

describe('useWasm', () => {
  afterEach(() => tf.disposeVariables());

  it('leaves nothing of Emscripten in the process', async () => {
    const listeners = (): number =>
      process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
    const before = { listeners: listeners(), worker: globalThis.Worker, files: readdirSync(tmpdir()).sort() };
    await useWasm({ threads: 2 });
    expect(listeners()).toBe(before.listeners);
    expect(globalThis.Worker).toBe(before.worker);
    expect(
      readdirSync(tmpdir()).filter((name) => name.includes('tfjs') && !before.files.includes(name)),
    ).toEqual([]);
  });

  it('lets the process end by itself', () => {
    const entry = fileURLToPath(new URL('../src/index.ts', import.meta.url));
    const script = `import { useWasm } from ${JSON.stringify(entry)}; console.log((await useWasm({ threads: 3 })).threads);`;
    const out = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 50_000,
    });
    expect(out.trim().split('\n').at(-1)).toBe('3');
  });

  it('multiplies in all four orientations, with remainders in every dimension', async () => {
    await useWasm({ threads: 2 });
    for (const [m, k, n] of [
      [3, 5, 7],
      [64, 33, 130],
      [67, 1500, 41],
      [1, 1, 1],
      [129, 64, 9],
    ] as const) {
      const a = Float32Array.from({ length: m * k }, (_, i) => Math.sin(i));
      const b = Float32Array.from({ length: k * n }, (_, i) => Math.cos(i * 1.7));
      const expected = new Float64Array(m * n);
      for (let i = 0; i < m; i++) {
        for (let p = 0; p < k; p++)
          for (let j = 0; j < n; j++) expected[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
      }
      const [left, right] = [tf.tensor2d(a, [m, k]), tf.tensor2d(b, [k, n])];
      for (const transposeA of [false, true]) {
        for (const transposeB of [false, true]) {
          const product = tf.tidy(() =>
            tf.matMul(
              transposeA ? tf.transpose(left) : left,
              transposeB ? tf.transpose(right) : right,
              transposeA,
              transposeB,
            ),
          );
          const values = product.dataSync();
          const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
          expect(worst).toBeLessThan(1e-3);
          product.dispose();
        }
      }
      tf.dispose([left, right]);
    }
  });

  it('fuses bias and relu right with transposed operands, which stock tfjs does not', async () => {
    await useWasm({ threads: 1 });
    const a = tf.tensor2d(
      Float32Array.from({ length: 800 }, (_, i) => Math.sin(i)),
      [8, 100],
    );
    const b = tf.tensor2d(
      Float32Array.from({ length: 600 }, (_, i) => Math.cos(i)),
      [6, 100],
    );
    const bias = tf.tensor1d([1, -2, 3, -4, 5, -6]);
    const fused = tf.fused.matMul({ a, b, transposeB: true, bias, activation: 'relu' });
    const apart = tf.relu(tf.add(tf.matMul(a, tf.transpose(b)), bias));
    expect(Math.max(...tf.abs(tf.sub(fused, apart)).dataSync())).toBeLessThan(1e-5);
  });

  it('multiplies with the new values after an update in place', async () => {
    await useWasm({ threads: 1 });
    const b = tf.ones([4, 4]) as tf.Tensor2D;
    const a = tf.ones([4, 4]) as tf.Tensor2D;
    expect(tf.matMul(a, b).dataSync()[0]).toBe(4);
    const backend = tf.backend() as unknown as { typedArrayFromHeap(t: tf.Tensor): Float32Array };
    backend.typedArrayFromHeap(b).fill(10);
    expect(tf.matMul(a, b).dataSync()[0]).toBe(40);
  });

  it('refuses what does not fit, names size and limit, and goes on', async () => {
    await useWasm({ threads: 2, maxMemoryBytes: 128 * MIB });
    const a = tf.ones([1024, 1024]);
    const before = { tensors: tf.memory().numTensors, used: wasmMemory().usedBytes };
    let error: unknown;
    try {
      tf.tidy(() => {
        const kept: tf.Tensor[] = [];
        for (let i = 0; i < 99; i++) kept.push(tf.add(a, i));
      });
    } catch (caught) {
      error = caught;
    }
    expect(isMsaeError(error, 'device')).toBe(true);
    expect(String(error)).toMatch(/\[1024, 1024\].*needs 4\.0 MiB.*limit of 128\.0 MiB/);
    expect(tf.memory().numTensors).toBe(before.tensors);
    expect(wasmMemory().usedBytes).toBe(before.used);
    expect(() => tf.matMul(tf.ones([6000, 8]) as tf.Tensor2D, tf.ones([8, 6000]) as tf.Tensor2D)).toThrow(
      'of the limit of 128.0 MiB',
    );
    expect(tf.add(a, 1).dataSync()[7]).toBe(2);
  });

  it('a sparse step that does not fit releases what it had made', async () => {
    await useWasm({ threads: 2, maxMemoryBytes: 100 * MIB });
    const sae = createSae({ dModel: 300, nLatents: 12_000, activation: topK(8) }); // 2 · 13.7 MiB
    const x = tf.ones<tf.Rank.R2>([64, 300]);
    const before = tf.memory().numTensors;
    const prefixes = { lengths: [12_000], weights: [1] };
    const first = sparseStep(sae, x, { prefixes }); // 2 · 13.7 MiB of gradients; a second one is too much
    expect(() => sparseStep(sae, x, { prefixes })).toThrow('of the limit of 100.0 MiB');
    const loss = first.metrics.dataSync()[0];
    disposeStep(first);
    expect(tf.memory().numTensors).toBe(before);
    const again = sparseStep(sae, x, { prefixes });
    expect(again.metrics.dataSync()[0]).toBe(loss);
    disposeStep(again);
  });

  it('says what is wrong with its options', async () => {
    await expect(useWasm({ threads: 0 })).rejects.toThrow(
      'useWasm: threads: expected a whole number ≥ 1 and ≤ 64, got 0',
    );
    await expect(useWasm({ maxMemoryBytes: 5 })).rejects.toThrow(
      'useWasm: maxMemoryBytes: expected a number ≥ 67108864',
    );
    await expect(useWasm({ wasmPaths: {} })).rejects.toThrow(
      'wasmPaths has no entry for tfjs-backend-wasm-threaded-simd.wasm',
    );
  });
});
