/** Options, memory, the generated sources, and the compiler. */
import { createSae, encodeActive, jumpRelu, sparseStep, topK } from '@msae/core';
import { createRng } from '@msae/sampler';
import { isMsaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readKernelSources } from '../scripts/kernelSources.ts';
import { createAllocator, sizeClass } from '../src/allocator.ts';
import { openNvrtc } from '../src/ffi/nvrtc.ts';
import { common, files, kernels, ops, sourceHash } from '../src/generated/kernels.ts';
import { cudaMemory, profileCuda, synchroniseCuda, useCuda } from '../src/index.ts';
import { makeView } from '../src/ops/layout.ts';
import { currentDevice } from '../src/useCuda.ts';
import { useEmulator } from './emulator.ts';

const emulated = useEmulator();

describe('generated kernels', () => {
  it('are those of kernels/ (else run scripts/embedKernels.ts)', () => {
    const sources = readKernelSources();
    expect(sourceHash).toBe(sources.hash);
    expect(files).toEqual(sources.files);
    expect(common).toBe(sources.common);
    expect(kernels).toEqual(sources.kernels);
    expect(ops).toEqual(sources.ops);
  });
});

describe('views', () => {
  it('merges what both operands walk through as one', () => {
    const view = makeView([2, 3, 4], [12, 4, 1], [12, 4, 1]);
    expect(view.rank).toBe(1);
    expect(view.layout[0]).toBe(24);
    expect(makeView([2, 3, 4], [12, 4, 1], [0, 4, 1]).rank).toBe(2);
    expect(makeView([1, 1], [5, 5], [0, 0]).size).toBe(1);
    const seven = [2, 2, 2, 2, 2, 2, 2];
    expect(() => makeView(seven, [64, 32, 16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 32, 64])).toThrow(/6 dimensions/);
  });
});

describe('allocator', () => {
  it('rounds sizes to few classes', () => {
    expect(sizeClass(1)).toBe(256);
    expect(sizeClass(4097)).toBe(4608);
    for (const bytes of [300, 5000, 10 ** 6, 403_000_001]) {
      expect(sizeClass(bytes)).toBeGreaterThanOrEqual(bytes);
      expect(sizeClass(bytes)).toBeLessThan(1.13 * bytes + 256);
    }
  });

  it('hands freed blocks out again, gives them back when the limit or the device says so', () => {
    let room = 4096;
    const blocks = new Map<number, number>();
    const driver = {
      alloc: (bytes: number) => {
        if (bytes > room) return undefined;
        room -= bytes;
        blocks.set(blocks.size + 1, bytes);
        return blocks.size;
      },
      free: (pointer: number) => {
        room += blocks.get(pointer)!;
      },
      memory: () => ({ free: room, total: 4096 }),
    } as unknown as Parameters<typeof createAllocator>[0];
    const allocator = createAllocator(driver, 8192, true);
    const a = allocator.alloc(1000, 'a');
    allocator.free(a);
    expect(allocator.alloc(1020, 'b')).toBe(a);
    expect(allocator.usedBytes()).toBe(1024);
    allocator.free(a);
    allocator.alloc(4096, 'all of it'); // needs the block that was kept
    expect(refusal(() => allocator.alloc(256, 'c'))).toMatchObject({
      code: 'device',
      details: { requestedBytes: 256, limitBytes: 4096 },
    });
    expect(() => allocator.alloc(8192, 'd')).toThrow(/d needs 0\.0 MiB, but/);
  });
});

describe.skipIf(!emulated)('useCuda, emulated', () => {
  afterAll(async () => {
    await useCuda();
  });

  it('says what it found', async () => {
    const backend = await useCuda({ device: 0 });
    expect(backend).toMatchObject({ name: 'cuda', precision: 'float32' });
    expect(backend.device).toContain('emulated');
    expect(backend.kernels).toHaveLength(6);
  });

  it('refuses bad options', async () => {
    await expect(useCuda({ device: 7 })).rejects.toThrow(/device 7 was asked for, but this machine has 1/);
    await expect(useCuda({ device: -1 })).rejects.toThrow(
      /useCuda: device: expected a whole number ≥ 0, got -1/,
    );
    await expect(useCuda({ matmul: 'half' as 'tf32' })).rejects.toThrow(/one of tf32, float32/);
    await expect(useCuda({ memoryLimit: 0 })).rejects.toThrow(/number > 0/);
    await expect(useCuda({ memoryLimits: 5 } as object)).rejects.toThrow(/did you mean memoryLimit\?/);
  });

  it('names a missing library and how to get it', async () => {
    const { MSAE_CUDA_EMULATE: library } = process.env;
    delete process.env.MSAE_CUDA_EMULATE;
    try {
      await expect(useCuda()).rejects.toThrow(
        /libcuda\.so\.1 was not found; it comes with the NVIDIA driver/,
      );
    } finally {
      process.env.MSAE_CUDA_EMULATE = library;
    }
  });

  it('refuses what does not fit and goes on', async () => {
    await useCuda({ memoryLimit: 2 ** 20 });
    const before = cudaMemory().usedBytes;
    expect(refusal(() => tf.tidy(() => tf.fill([1024, 1024], 2)))).toMatchObject({
      code: 'device',
      details: { requestedBytes: 2 ** 22, usedBytes: before, limitBytes: 2 ** 20 },
    });
    expect(() => tf.tidy(() => tf.add(tf.zeros([1024, 256]), 1))).toThrow(/a tensor of shape \[1024, 256\]/);
    expect(cudaMemory().usedBytes).toBe(before);
    const sum = tf.tidy(() => tf.sum(tf.ones([100])));
    expect(sum.dataSync()[0]).toBe(100);
    sum.dispose();
  });

  it('gives the same step in blocks of rows as at once', async () => {
    const run = async (): Promise<Float32Array[]> => {
      const { sae, x } = small(topK(17));
      const step = sparseStep(sae, x, { prefixes: { lengths: [30, 150, 333], weights: [1, 0.5, 2] } });
      const out = [step.metrics, ...Object.values(step.grads)].map((t) =>
        Float32Array.from((t as tf.Tensor).dataSync()),
      );
      tf.dispose([x, step.metrics, ...Object.values(step.grads), step.firings]);
      sae.dispose();
      return out;
    };
    await useCuda();
    const whole = await run();
    (currentDevice() as { scratchBytes: number }).scratchBytes = 80_000;
    const blocks = await run();
    for (const [i, values] of whole.entries()) {
      const largest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      for (const [j, v] of values.entries())
        expect(Math.abs(v - blocks[i]![j]!)).toBeLessThan(2e-6 * largest);
    }
  });

  it('measures kernels', async () => {
    await useCuda();
    const stop = profileCuda();
    tf.tidy(() => tf.add(tf.ones([10]), tf.ones([10])));
    synchroniseCuda();
    expect(stop().binaryFloat!.calls).toBe(1);
  });
});

describe.skipIf(!emulated)('the encoder in TF32 and in float32', () => {
  beforeAll(async () => {
    await useCuda();
  });

  it.each([
    ['topk', topK(9)],
    ['jumprelu', jumpRelu({ threshold: 1, bandwidth: 0.1 })],
  ] as const)(
    'lists the same latents in the same bits whether screened or not: %s',
    async (_name, activation) => {
      const lists = async (matmul: 'tf32' | 'float32'): Promise<[number[], number[]]> => {
        await useCuda({ matmul });
        const { sae, x } = small(activation);
        const active = encodeActive(sae, x, activation.kind === 'jumprelu' ? { capacity: 200 } : {});
        const out: [number[], number[]] = [
          Array.from(active.indices.dataSync()),
          Array.from(active.values.dataSync()),
        ];
        active.dispose();
        x.dispose();
        sae.dispose();
        return out;
      };
      const [screened, float32] = [await lists('tf32'), await lists('float32')];
      expect(screened[0]).toEqual(float32[0]);
      for (const [i, v] of float32[1].entries()) expect(screened[1][i]).toBeCloseTo(v, 5);
    },
  );

  it('keeps the lower index of equal values, also where more are equal than screening has room for', async () => {
    await useCuda();
    const sae = createSae({ dModel: 4, nLatents: 3000, activation: topK(5), seed: 0 });
    tf.tidy(() => sae.params.W_enc.assign(tf.ones([4, 3000])));
    const x = tf.tensor2d([
      [1, 1, 1, 1],
      [-1, -1, -1, -1],
      [Number.NaN, 0, 0, 0],
    ]);
    const active = encodeActive(sae, x);
    expect(Array.from(active.indices.dataSync())).toEqual([
      0,
      1,
      2,
      3,
      4,
      ...Array(5).fill(3000),
      0,
      ...Array(4).fill(3000),
    ]);
    expect(Array.from(active.counts.dataSync())).toEqual([5, 0, 1]);
    expect(active.values.dataSync()[10]).toBeNaN();
    active.dispose();
    x.dispose();
    sae.dispose();
  });

  it('turns the loss NaN with a weight that is NaN', async () => {
    const { sae, x } = small(topK(9));
    const weights = sae.params.W_enc.dataSync().slice();
    weights[17] = Number.NaN;
    tf.tidy(() => sae.params.W_enc.assign(tf.tensor2d(weights, [70, 333])));
    const step = sparseStep(sae, x, { prefixes: { lengths: [333], weights: [1] } });
    expect(step.metrics.dataSync()[0]).toBeNaN();
    tf.dispose([x, step.metrics, ...Object.values(step.grads), step.firings]);
    sae.dispose();
  });
});

describe('NVRTC', () => {
  const nvrtc = (() => {
    const { MSAE_CUDA_EMULATE: library } = process.env;
    delete process.env.MSAE_CUDA_EMULATE;
    try {
      return openNvrtc();
    } catch {
      return undefined;
    } finally {
      if (library !== undefined) process.env.MSAE_CUDA_EMULATE = library;
    }
  })();

  it.skipIf(nvrtc === undefined).each(['sm_80', 'sm_90'])('compiles every kernel for %s', (arch) => {
    for (const [name, source] of Object.entries(files)) {
      const { cubin } = nvrtc!.compile(`${common}\n${source}`, name, arch);
      expect(cubin.length).toBeGreaterThan(1000);
    }
  });
});

/** What a call throws, which must be an error of the family. */
function refusal(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (isMsaeError(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** An SAE of odd sizes and a batch for it. */
function small(activation: Parameters<typeof createSae>[0]['activation']): {
  sae: ReturnType<typeof createSae>;
  x: tf.Tensor2D;
} {
  const sae = createSae({ dModel: 70, nLatents: 333, activation: activation!, seed: 3 });
  const rng = createRng(8);
  const x = tf.tensor2d(
    Float32Array.from({ length: 67 * 70 }, () => rng.normal()),
    [67, 70],
  );
  return { sae, x };
}
