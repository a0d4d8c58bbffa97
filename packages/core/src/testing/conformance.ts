/**
 * What every backend has to get right, through the public API: the dense step against a float64 twin in plain loops on odd
 * sizes, no leaked tensor, the same bits twice. A new backend is done when this and the golden files pass.
 */
import { createRng, fixedWidths } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { type Activation, batchTopK, jumpRelu, relu, topK } from '../activation.ts';
import { decode, decodePrefixes, encode } from '../encode.ts';
import { matryoshkaStep } from '../loss.ts';
import { disposeStep } from '../metrics.ts';
import { l1, log, none, type Penalty } from '../penalty.ts';
import { createSae, type Sae } from '../sae.ts';
import type { LossOptions } from '../step.ts';
import { toBeAllClose } from './allClose.ts';
import { goldenTolerance, type StepFunction } from './golden.ts';

/** One check: a name, and a function that throws where the backend is wrong. It runs on the current backend. */
export interface ConformanceCheck {
  name: string;
  run(): Promise<void>;
}

/** The checks. `step` defaults to the dense `matryoshkaStep`; the sparse step passes the same ones. */
export function conformanceChecks({
  step = matryoshkaStep,
}: {
  step?: StepFunction;
} = {}): ConformanceCheck[] {
  const variants: { name: string; activation: Activation; penalty: Penalty; applyBDecToInput: boolean }[] = [
    { name: 'relu with log penalty', activation: relu(), penalty: log(), applyBDecToInput: false },
    { name: 'relu with l1 penalty, x − b_dec', activation: relu(), penalty: l1(), applyBDecToInput: true },
    { name: 'topk', activation: topK(5), penalty: none(), applyBDecToInput: true },
    { name: 'batchtopk', activation: batchTopK(3), penalty: none(), applyBDecToInput: false },
    {
      name: 'jumprelu',
      activation: jumpRelu({ threshold: 0.2, bandwidth: 0.3 }),
      penalty: none(),
      applyBDecToInput: false,
    },
  ];
  const checks = variants.map(({ name, ...config }) => ({
    name: `${name}: gradients equal slopes of the loss`,
    run: () => withSae(config, (sae, x) => checkSlopes(sae, x, step)),
  }));
  return [
    ...checks,
    { name: 'the same bits twice', run: () => withSae(variants[0]!, (sae, x) => checkRepeats(sae, x, step)) },
    {
      name: 'prefixes are decoded as masked latents are',
      run: () => withSae(variants[0]!, checkPrefixDecode),
    },
    {
      name: 'no tensor is left behind',
      run: () => withSae(variants[1]!, (sae, x) => checkLeaks(sae, x, step)),
    },
  ];
}

const [d, N, B] = [7, 19, 13];
const options: LossOptions = {
  prefixes: fixedWidths([2, 5, 11, N], [0.5, 1, 0.25, 2]).sample(N, createRng(0)),
  penaltyCoefficient: 0.05,
};

type Variant = { activation: Activation; penalty: Penalty; applyBDecToInput: boolean };

async function withSae(variant: Variant, run: (sae: Sae, x: tf.Tensor2D) => Promise<void>): Promise<void> {
  const { activation, penalty, applyBDecToInput } = variant;
  const sae = createSae({
    dModel: d,
    nLatents: N,
    activation,
    penalty,
    applyBDecToInput,
    init: 'unit-norm',
    seed: 3,
  });
  const rng = createRng(5);
  const x = tf.tensor2d(
    Float32Array.from({ length: B * d }, () => rng.normal()),
    [B, d],
  );
  tf.tidy(() =>
    sae.params.b_dec.assign(tf.tensor1d(Float32Array.from({ length: d }, () => 0.3 * rng.normal()))),
  );
  try {
    await run(sae, x);
  } finally {
    x.dispose();
    sae.dispose();
  }
}

/**
 * ∂L along each gradient against the loss in float64 at two points on either side: independent of every formula but the
 * loss itself. Kinks (a latent that switches on or off in between) are avoided by a small step.
 */
async function checkSlopes(sae: Sae, x: tf.Tensor2D, step: StepFunction): Promise<void> {
  const result = await step(sae, x, options);
  const weights: Record<string, Float64Array> = {};
  for (const [name, param] of Object.entries(sae.params))
    weights[name] = Float64Array.from(await param.data());
  const rows = Float64Array.from(await x.data());
  const [loss] = await result.metrics.data();
  const tolerance = goldenTolerance(tf.getBackend());
  await toBeAllClose(loss!, float64Loss(sae, weights, rows), { tolerance, name: 'loss' });
  for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const) {
    const grad = Float64Array.from(await result.grads[name].data());
    const values = weights[name]!;
    const slopes = values.map((value, i) => {
      const h = 1e-6;
      values[i] = value + h;
      const up = float64Loss(sae, weights, rows);
      values[i] = value - h;
      const down = float64Loss(sae, weights, rows);
      values[i] = value;
      return (up - down) / (2 * h);
    });
    await toBeAllClose(grad, slopes, { tolerance, name: `gradient of ${name}` });
  }
  disposeStep(result);
}

/** The loss by its definition, a decode for every prefix, in float64 loops. */
function float64Loss(sae: Sae, w: Record<string, Float64Array>, x: Float64Array): number {
  const { activation, penalty, applyBDecToInput } = sae.config;
  const pre = new Float64Array(B * N);
  for (let b = 0; b < B; b++) {
    for (let i = 0; i < N; i++) {
      let sum = w.b_enc![i]!;
      for (let c = 0; c < d; c++)
        sum += (x[b * d + c]! - (applyBDecToInput ? w.b_dec![c]! : 0)) * w.W_enc![c * N + i]!;
      pre[b * N + i] = sum;
    }
  }
  const cut = (values: Float64Array, k: number): number => [...values].sort((p, q) => q - p)[k - 1]!;
  const flatCut = activation.kind === 'batchtopk' ? cut(pre, activation.k * B) : 0;
  const f = pre.map((value, at) => {
    const row = Math.floor(at / N);
    switch (activation.kind) {
      case 'identity':
        return value;
      case 'relu':
        return Math.max(value, 0);
      case 'topk':
        return value >= cut(pre.subarray(row * N, (row + 1) * N), activation.k) ? Math.max(value, 0) : 0;
      case 'batchtopk':
        return value >= flatCut ? Math.max(value, 0) : 0;
      case 'jumprelu':
        return value > w.threshold![at % N]! ? value : 0;
    }
  });
  let loss = 0;
  for (let j = 0; j < options.prefixes.lengths.length; j++) {
    const p = options.prefixes.lengths[j]!;
    let sum = 0;
    for (let b = 0; b < B; b++) {
      for (let c = 0; c < d; c++) {
        let xHat = w.b_dec![c]!;
        for (let i = 0; i < p; i++) xHat += f[b * N + i]! * w.W_dec![i * d + c]!;
        sum += (x[b * d + c]! - xHat) ** 2;
      }
      for (let i = 0; i < p; i++) {
        const norm = Math.hypot(...w.W_dec!.subarray(i * d, (i + 1) * d));
        const u = Math.abs(f[b * N + i]!) * norm;
        const s = penalty.kind === 'l1' ? u : penalty.kind === 'log' ? Math.log(u + penalty.epsilon) : 0;
        sum += options.penaltyCoefficient! * s;
      }
    }
    loss += (options.prefixes.weights[j]! * sum) / B;
  }
  return loss;
}

async function checkRepeats(sae: Sae, x: tf.Tensor2D, step: StepFunction): Promise<void> {
  const runs: Float32Array[] = [];
  for (let i = 0; i < 2; i++) {
    const result = await step(sae, x, options);
    runs.push(Float32Array.from(await result.grads.W_dec.data()));
    disposeStep(result);
  }
  await toBeAllClose(runs[1]!, runs[0]!, { tolerance: 0, name: 'second run' });
}

async function checkPrefixDecode(sae: Sae, x: tf.Tensor2D): Promise<void> {
  const f = encode(sae, x);
  const lengths = [0, 4, 9, N];
  const prefixes = decodePrefixes(sae, f, lengths);
  for (const [j, p] of lengths.entries()) {
    const masked = tf.tidy(() => {
      const mask = tf.tensor1d(Float32Array.from({ length: N }, (_, i) => (i < p ? 1 : 0)));
      return decode(sae, tf.mul(f, mask));
    });
    await toBeAllClose(prefixes[j]!, masked, { tolerance: 1e-5, name: `prefix ${p}` });
    masked.dispose();
  }
  tf.dispose([f, prefixes]);
}

async function checkLeaks(sae: Sae, x: tf.Tensor2D, step: StepFunction): Promise<void> {
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i++)
    disposeStep(await step(sae, x, { ...options, ...{ keepResidual: true, keepContributions: true } }));
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`a step left ${left} tensors behind`);
}
