import { createSae, disposeStep, l1, relu, sparseStep, topK } from '@msae/core';
import { createRng, everyPrefix } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { sharedKernels } from '../src/generated/kernels.ts';
import { useWasm } from '../src/index.ts';
import { createThreadPool, type Task } from '../src/threadPool.ts';

describe('threads', () => {
  it.each([
    ['topk', topK(12), undefined],
    ['relu with a penalty', relu(), l1()],
  ] as const)('%s: the same bits on 1, 2 and 3 threads', async (_name, activation, penalty) => {
    const [d, n, rows] = [131, 1030, 150];
    const runs: Float32Array[][] = [];
    for (const threads of [1, 2, 3]) {
      await useWasm({ threads });
      const sae = createSae({ dModel: d, nLatents: n, activation, seed: 3, ...(penalty && { penalty }) });
      const rng = createRng(1);
      const x = tf.tensor2d(
        Float32Array.from({ length: rows * d }, () => rng.normal()),
        [rows, d],
      );
      const prefixes = everyPrefix({ count: 10 }).sample(n, rng);
      const step = sparseStep(sae, x, { prefixes, penaltyCoefficient: 0.1 });
      const { W_enc, b_enc, W_dec, b_dec } = step.grads;
      runs.push([step.metrics, W_enc, b_enc, W_dec, b_dec].map((t) => Float32Array.from(t.dataSync())));
      disposeStep(step);
    }
    for (const run of runs.slice(1)) {
      run.forEach((values, i) => {
        expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(runs[0]![i]!.buffer))).toBe(0);
      });
    }
  });

  it('thousands of short jobs: no task is lost or done twice', async () => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 65_536, shared: true });
    const module = new WebAssembly.Module(Buffer.from(sharedKernels, 'base64'));
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    const kernels = exports as unknown as Record<string, Task>;
    const pool = await createThreadPool({ kernels, module, memory, workers: 2 });
    const words = new Int32Array(memory.buffer);
    const floats = new Float32Array(memory.buffer);
    const [args, param, grad] = [16, 1024, 8192];
    const word = new Int32Array(new Float32Array([1]).buffer)[0]!;
    for (let job = 0; job < 3000; job++) {
      // x̂ = b + 1 · d_0 of every row, 16 rows a task: each job has another number of tasks
      const rows = 1 + ((job * 37) % 200);
      words.set(
        [param * 4, param * 4, grad * 4, grad * 4 + 4, grad * 4 + 8, rows, 0, 4, 20_000 * 4],
        args / 4,
      );
      words[grad + 1] = word;
      floats.set([job, job + 1, job + 2, job + 3], param);
      floats.fill(-1, 20_000, 20_000 + 4 * 200);
      pool.run('decodeRows', args, Math.ceil(rows / 16));
      for (let row = 0; row < 200; row++) {
        if (floats[20_000 + 4 * row + 3] !== (row < rows ? job + 3 : -1))
          throw new Error(`job ${job}, row ${row}`);
      }
    }
    expect(() => pool.run('no such kernel', args, 1)).toThrow('no kernel is called no such kernel');
    words.set([0x7fff0000, 1 << 22], args / 4); // beyond the memory: the task traps
    expect(() => pool.run('zero', args, 4)).toThrow('kernel zero failed');
    words.set([80_000, 4], args / 4);
    pool.run('zero', args, 1);
    pool.dispose();
    expect(() => pool.run('zero', args, 1)).toThrow('the backend was disposed');
  });
});
