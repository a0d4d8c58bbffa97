/**
 * What every backend has to get right, through the public API: the dense step against a float64 twin in plain loops on odd
 * sizes, no leaked tensor, the same bits twice. A new backend is done when this and the golden files pass.
 */
import { createRng, fixedWidths } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { absTopK } from '../activations/absTopK.ts';
import { batchTopK } from '../activations/batchTopK.ts';
import { jumpRelu } from '../activations/jumpRelu.ts';
import { relu } from '../activations/relu.ts';
import type { Activation } from '../activations/table.ts';
import { topK } from '../activations/topK.ts';
import { matryoshkaStep } from '../loss/dense.ts';
import { disposeStep } from '../loss/metrics.ts';
import type { StepOptions } from '../loss/step.ts';
import { decode, decodePrefixes, reconstruct } from '../model/decode.ts';
import { encode } from '../model/encode.ts';
import { createSae, outputSite, type Sae } from '../model/sae.ts';
import { l1 } from '../penalties/l1.ts';
import { log } from '../penalties/log.ts';
import { none } from '../penalties/none.ts';
import type { Penalty } from '../penalties/table.ts';
import type { Transform } from '../transforms/table.ts';
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
  const checks = Object.entries(variants).map(([name, variant]) => ({
    name: `${name}: gradients equal slopes of the loss`,
    run: () => withSae(variant, (sae, batch) => checkSlopes(sae, batch, step)),
  }));
  const [first, second] = [variants['relu with log penalty']!, variants['relu with l1 penalty, x − b_dec']!];
  return [
    ...checks,
    { name: 'the same bits twice', run: () => withSae(first, (sae, { x }) => checkRepeats(sae, x, step)) },
    {
      name: 'prefixes are decoded as masked latents are',
      run: () => withSae(first, (sae, { x }) => checkPrefixDecode(sae, x)),
    },
    {
      name: 'transforms are applied to x and undone, whatever they are',
      run: () => withSae(first, (sae, { x }) => checkTransforms(sae, x)),
    },
    {
      name: 'no tensor is left behind',
      run: () => withSae(second, (sae, { x }) => checkLeaks(sae, x, step)),
    },
  ];
}

interface Variant {
  readonly activation: Activation;
  readonly penalty?: Penalty;
  readonly applyBDecToInput?: boolean;
  /** Width of a target other than x: a transcoder. */
  readonly targetWidth?: number;
}

const variants: Readonly<Record<string, Variant>> = {
  'relu with log penalty': { activation: relu(), penalty: log() },
  'relu with l1 penalty, x − b_dec': { activation: relu(), penalty: l1(), applyBDecToInput: true },
  topk: { activation: topK(5), applyBDecToInput: true },
  batchtopk: { activation: batchTopK(3) },
  jumprelu: { activation: jumpRelu({ threshold: 0.2, bandwidth: 0.3 }) },
  abstopk: { activation: absTopK(5), applyBDecToInput: true },
  'abstopk with log penalty': { activation: absTopK(7), penalty: log() },
  'topk, a target of another width': { activation: topK(5), targetWidth: 11 },
  'relu with log penalty, a target of another width': { activation: relu(), penalty: log(), targetWidth: 3 },
  'abstopk with l1 penalty, a target of the same width': {
    activation: absTopK(4),
    penalty: l1(),
    targetWidth: 7,
  },
};

const [d, N, B] = [7, 19, 13];
const options: StepOptions = {
  prefixes: fixedWidths([2, 5, 11, N], [0.5, 1, 0.25, 2]).sample(N, createRng(0)),
  penaltyCoefficient: 0.05,
};

interface Batch {
  readonly x: tf.Tensor2D;
  readonly target?: tf.Tensor2D;
}

async function withSae(
  { activation, penalty = none(), applyBDecToInput = false, targetWidth }: Variant,
  run: (sae: Sae, batch: Batch) => Promise<void>,
): Promise<void> {
  const sae = createSae({
    input: d,
    ...(targetWidth !== undefined && { output: targetWidth }),
    nLatents: N,
    activation,
    penalty,
    applyBDecToInput,
    init: 'unit-norm',
    seed: 3,
  });
  const rng = createRng(5);
  const noise = (rows: number, width: number): tf.Tensor2D =>
    tf.tensor2d(
      Float32Array.from({ length: rows * width }, () => rng.normal()),
      [rows, width],
    );
  const x = noise(B, d);
  tf.tidy(() =>
    sae.params.b_dec.assign(
      tf.tensor1d(Float32Array.from({ length: sae.params.b_dec.size }, () => 0.3 * rng.normal())),
    ),
  );
  const batch: Batch = targetWidth === undefined ? { x } : { x, target: noise(B, targetWidth) };
  try {
    await run(sae, batch);
  } finally {
    tf.dispose([x, ...(batch.target ? [batch.target] : [])]);
    sae.dispose();
  }
}

/**
 * ∂L along each gradient against the loss in float64 at two points on either side: independent of every formula but the
 * loss itself. Kinks (a latent that switches on or off in between) are avoided by a small step.
 */
async function checkSlopes(sae: Sae, { x, target }: Batch, step: StepFunction): Promise<void> {
  const result = await step(sae, x, { ...options, ...(target && { target }) });
  const weights: Record<string, Float64Array> = {};
  for (const [name, param] of Object.entries(sae.params))
    weights[name] = Float64Array.from(await param.data());
  const rows = Float64Array.from(await x.data());
  const wanted = target ? Float64Array.from(await target.data()) : rows;
  const twin = (): number => float64Loss(sae, weights, rows, wanted);
  const [loss] = await result.metrics.data();
  const tolerance = goldenTolerance();
  await toBeAllClose(loss!, twin(), { tolerance, name: 'loss' });
  for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec'] as const) {
    const grad = Float64Array.from(await result.grads[name].data());
    const values = weights[name]!;
    const slopes = values.map((value, i) => {
      const h = 1e-6;
      values[i] = value + h;
      const up = twin();
      values[i] = value - h;
      const down = twin();
      values[i] = value;
      return (up - down) / (2 * h);
    });
    await toBeAllClose(grad, slopes, { tolerance, name: `gradient of ${name}` });
  }
  disposeStep(result);
}

/** What a row of pre-activations keeps, by the activation's definition in words; `all` is the whole batch, `theta` thresholds. */
type Keep = (pre: Float64Array, at: { all: Float64Array; k: number; theta: Float64Array }) => Float64Array;

const largest = (values: Float64Array, k: number): number => values.slice().sort()[values.length - k]!;

const keeps: Readonly<Record<Activation['kind'], Keep>> = {
  identity: (pre) => pre,
  relu: (pre) => pre.map((value) => Math.max(value, 0)),
  topk: (pre, { k }) => pre.map((value) => (value >= largest(pre, k) ? Math.max(value, 0) : 0)),
  abstopk: (pre, { k }) => pre.map((value) => (Math.abs(value) >= largest(pre.map(Math.abs), k) ? value : 0)),
  batchtopk: (pre, { all, k }) => pre.map((value) => (value >= largest(all, k * B) ? Math.max(value, 0) : 0)),
  jumprelu: (pre, { theta }) => pre.map((value, i) => (value > theta[i]! ? value : 0)),
};

const costs: Readonly<Record<Penalty['kind'], (u: number, epsilon: number) => number>> = {
  none: () => 0,
  l1: (u) => u,
  log: (u, epsilon) => Math.log(u + epsilon),
  sqrt: (u, epsilon) => Math.sqrt(u + epsilon),
  tanh: (u) => Math.tanh(u),
};

/** The loss by its definition, a decode for every prefix, in float64 loops. */
function float64Loss(sae: Sae, w: Record<string, Float64Array>, x: Float64Array, y: Float64Array): number {
  const { activation, penalty, applyBDecToInput } = sae.config;
  const e = outputSite(sae.config).width;
  const pre = new Float64Array(B * N);
  for (let b = 0; b < B; b++) {
    for (let i = 0; i < N; i++) {
      let sum = w.b_enc![i]!;
      for (let c = 0; c < d; c++)
        sum += (x[b * d + c]! - (applyBDecToInput ? w.b_dec![c]! : 0)) * w.W_enc![c * N + i]!;
      pre[b * N + i] = sum;
    }
  }
  const at = { all: pre, k: 'k' in activation ? activation.k : 0, theta: w.threshold ?? new Float64Array(N) };
  const f = new Float64Array(B * N);
  for (let b = 0; b < B; b++) f.set(keeps[activation.kind](pre.subarray(b * N, (b + 1) * N), at), b * N);
  const cost = costs[penalty.kind];
  const epsilon = 'epsilon' in penalty ? penalty.epsilon : 0;
  let loss = 0;
  for (let j = 0; j < options.prefixes.lengths.length; j++) {
    const p = options.prefixes.lengths[j]!;
    let sum = 0;
    for (let b = 0; b < B; b++) {
      for (let c = 0; c < e; c++) {
        let yHat = w.b_dec![c]!;
        for (let i = 0; i < p; i++) yHat += f[b * N + i]! * w.W_dec![i * e + c]!;
        sum += (y[b * e + c]! - yHat) ** 2;
      }
      for (let i = 0; i < p; i++) {
        const norm = Math.hypot(...w.W_dec!.subarray(i * e, (i + 1) * e));
        sum += options.penaltyCoefficient! * cost(Math.abs(f[b * N + i]!) * norm, epsilon);
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

/** encode sees transform(x), reconstruct gives undo(…): against the same SAE without a transform. */
async function checkTransforms(sae: Sae, x: tf.Tensor2D): Promise<void> {
  const mean = Float32Array.from({ length: d }, (_, c) => 0.1 * c - 0.2);
  const matrix = new Float32Array(d * d);
  const inverse = new Float32Array(d * d);
  for (let c = 0; c < d; c++) {
    matrix[c * d + ((c + 1) % d)] = 1 + c / 4;
    inverse[((c + 1) % d) * d + c] = 1 / (1 + c / 4);
  }
  const rows = Array.from({ length: B }, (_, b) => b);
  const raw = await x.array();
  const norms = raw.map((row) => Math.hypot(...row));
  const means = raw.map((row) => row.reduce((sum, value) => sum + value, 0) / d);
  const stds = rows.map((b) =>
    Math.sqrt(raw[b]!.reduce((sum, value) => sum + (value - means[b]!) ** 2, 0) / (d - 1)),
  );
  const cases: {
    transform: Transform;
    into(b: number, c: number): number;
    back(b: number, row: number[], c: number): number;
  }[] = [
    { transform: [], into: (b, c) => raw[b]![c]!, back: (_, row, c) => row[c]! },
    {
      transform: [{ kind: 'scale', factor: 2.5 }],
      into: (b, c) => 2.5 * raw[b]![c]!,
      back: (_, row, c) => row[c]! / 2.5,
    },
    {
      transform: [
        { kind: 'centre', mean },
        { kind: 'scale', factor: 0.5 },
      ],
      into: (b, c) => 0.5 * (raw[b]![c]! - mean[c]!),
      back: (_, row, c) => row[c]! / 0.5 + mean[c]!,
    },
    {
      transform: [{ kind: 'layer-norm', epsilon: 1e-5 }],
      into: (b, c) => (raw[b]![c]! - means[b]!) / (stds[b]! + 1e-5),
      back: (b, row, c) => row[c]! * stds[b]! + means[b]!,
    },
    {
      transform: [{ kind: 'constant-norm' }],
      into: (b, c) => (raw[b]![c]! * Math.sqrt(d)) / norms[b]!,
      back: (b, row, c) => (row[c]! * norms[b]!) / Math.sqrt(d),
    },
    {
      transform: [{ kind: 'whitening', mean, matrix, inverse }],
      into: (b, c) => {
        const from = (c + d - 1) % d;
        return (raw[b]![from]! - mean[from]!) * (1 + from / 4);
      },
      back: (_, row, c) => row[(c + 1) % d]! / (1 + c / 4) + mean[c]!,
    },
  ];
  for (const { transform, into, back } of cases) {
    const name = transform.map(({ kind }) => kind).join(' + ') || 'no transform';
    const z = tf.tensor2d(rows.map((b) => Array.from({ length: d }, (_, c) => into(b, c))));
    sae.transform = { input: [], output: [] };
    const [f, inside] = [encode(sae, z), reconstruct(sae, z)];
    const expected = (await inside.array()).map((row, b) => row.map((_, c) => back(b, row, c)));
    sae.transform = { input: transform, output: transform };
    const before = tf.memory().numTensors;
    const [fRaw, outside] = [encode(sae, x), reconstruct(sae, x)];
    await toBeAllClose(fRaw, f, { tolerance: 1e-4, name: `latents with ${name}` });
    await toBeAllClose(outside, expected, { tolerance: 1e-4, name: `reconstruction with ${name}` });
    tf.dispose([fRaw, outside]);
    if (tf.memory().numTensors !== before) throw new Error(`${name} leaves tensors behind`);
    tf.dispose([z, f, inside]);
  }
  sae.transform = { input: [], output: [] };
}

async function checkLeaks(sae: Sae, x: tf.Tensor2D, step: StepFunction): Promise<void> {
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i++)
    disposeStep(await step(sae, x, { ...options, ...{ keepResidual: true, keepContributions: true } }));
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`a step left ${left} tensors behind`);
}
