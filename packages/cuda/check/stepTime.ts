/** Milliseconds of whole training steps (gradients, norm, clipping, Adam), and of every kernel in them. */
import { createSae, disposeStep, sparseStep, topK } from '@msae/core';
import { adamKernel, globalNormKernel } from '@msae/core/backend';
import { createRng, everyPrefix, type Prefixes, truncatedPareto } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { cudaMemory, profileCuda, resetCudaPeak, synchroniseCuda } from '../src/index.ts';
import { randomRows } from './selection.ts';

export interface Shape {
  readonly d: number;
  readonly n: number;
  readonly batch: number;
  readonly k: number;
  /** so many latents, the first ones, are active in half of the rows */
  readonly dense?: number;
}

export interface StepTime extends Shape {
  readonly prefixes: string;
  /** a step, the device waited for at the end of all */
  readonly milliseconds: number;
  /** of which the host needs to put it on the stream */
  readonly hostMilliseconds: number;
  readonly tokensPerSecond: number;
  readonly peakMiB: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** milliseconds a step by kernel, the largest first */
  readonly kernels: Readonly<Record<string, number>>;
}

export interface Training {
  step(prefixes: Prefixes): void;
  loss(): Promise<number>;
  dispose(): void;
}

export function startTraining({ d, n, batch, k, dense = 0 }: Shape): Training {
  const sae = createSae({ dModel: d, nLatents: n, activation: topK(k), seed: 1 });
  const x = randomRows(batch, d, 2);
  const lift = Float32Array.from({ length: n }, (_, i) => (i < dense ? 3 : 0));
  tf.tidy(() => sae.params.b_enc.assign(tf.add(sae.params.b_enc, tf.tensor1d(lift))));
  const slots = Object.entries(sae.params).map(([name, param]) => {
    const zeros = (): tf.Variable => tf.tidy(() => tf.variable(tf.zeros(param.shape), false));
    return { name, param, m: zeros(), v: zeros() };
  });
  let [iteration, last] = [0, tf.scalar(0) as tf.Tensor];
  return {
    step: (prefixes) => {
      iteration++;
      const result = sparseStep(sae, x, { prefixes });
      const norm = globalNormKernel.run({ ...result.grads } as Record<string, tf.Tensor>, {}).norm;
      const scale = tf.tidy(() => tf.minimum(tf.div(1, tf.add(norm, 1e-6)), 1));
      for (const { name, param, m, v } of slots) {
        const grad = result.grads[name as 'W_enc'];
        adamKernel.run(
          { param, m, v, grad, scale },
          { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, step: iteration },
        );
      }
      last.dispose();
      last = tf.slice(result.metrics, 0, 1);
      tf.dispose([norm, scale]);
      disposeStep(result);
    },
    loss: async () => (await last.data())[0]!,
    dispose: () => {
      tf.dispose([x, last, ...slots.flatMap(({ m, v }) => [m, v])]);
      sae.dispose();
    },
  };
}

async function firstStep(training: Training, prefixes: Prefixes): Promise<number> {
  training.step(prefixes);
  return training.loss();
}

export function prefixesOf(kind: 'ten' | 'every', n: number): Prefixes {
  const scheme = kind === 'ten' ? truncatedPareto({ count: 10 }) : everyPrefix({ count: 10 });
  return scheme.sample(n, createRng(0));
}

export async function timeSteps(
  shape: Shape,
  kinds: readonly ('ten' | 'every')[],
  steps: number,
): Promise<StepTime[]> {
  const training = startTraining(shape);
  const out: StepTime[] = [];
  for (const kind of kinds) {
    const prefixes = prefixesOf(kind, shape.n);
    const firstLoss = await firstStep(training, prefixes);
    // V8 compiles what it has seen often: a training run is past that after a second
    for (let i = 0; i < 6 * steps; i++) training.step(prefixes);
    synchroniseCuda();
    resetCudaPeak();
    const from = performance.now();
    for (let i = 0; i < steps; i++) training.step(prefixes);
    const enqueued = performance.now() - from;
    synchroniseCuda();
    const milliseconds = (performance.now() - from) / steps;
    const stop = profileCuda();
    for (let i = 0; i < 5; i++) training.step(prefixes);
    const kernels = Object.entries(stop())
      .map(([name, { milliseconds }]): [string, number] => [name, milliseconds / 5])
      .sort((a, b) => b[1] - a[1]);
    out.push({
      ...shape,
      prefixes: kind,
      milliseconds,
      hostMilliseconds: enqueued / steps,
      tokensPerSecond: Math.round((1000 * shape.batch) / milliseconds),
      peakMiB: Math.round(cudaMemory().peakBytes / 2 ** 20),
      firstLoss,
      lastLoss: await training.loss(),
      kernels: Object.fromEntries(kernels),
    });
  }
  training.dispose();
  return out;
}
