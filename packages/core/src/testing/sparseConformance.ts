/**
 * What the sparse path has to get right on a backend: the shared conformance checks through `sparseStep`, agreement with
 * the dense path on sizes that are no multiples of anything, lists that are empty or cut, and every kernel against its
 * composition of stock ops.
 */
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { type Activation, batchTopK, jumpRelu, relu, topK } from '../activation.ts';
import { decode, encode } from '../encode.ts';
import { matryoshkaStep } from '../loss.ts';
import { disposeStep } from '../metrics.ts';
import { l1, log, none, type Penalty, sqrtPenalty, tanhPenalty } from '../penalty.ts';
import { createSae, type Sae } from '../sae.ts';
import { composedKernels } from '../sparse/composed/composedKernels.ts';
import { KERNEL } from '../sparse/contract.ts';
import { decodeActive } from '../sparse/decodeActive.ts';
import { encodeActive } from '../sparse/encodeActive.ts';
import { runKernel } from '../sparse/runKernel.ts';
import { sparseStep } from '../sparse/sparseStep.ts';
import type { StepOptions } from '../step.ts';
import { toBeAllClose } from './allClose.ts';
import { type ConformanceCheck, conformanceChecks } from './conformance.ts';
import { goldenTolerance } from './golden.ts';

interface Case {
  name: string;
  d: number;
  n: number;
  rows: number;
  activation: Activation;
  penalty: Penalty;
  applyBDecToInput: boolean;
  /** added to b_enc: −100 silences every latent */
  bias: number;
  options: Omit<StepOptions, 'prefixes'> & { lengths: (n: number) => number[]; v?: (p: number) => number };
}

const few = (n: number): number[] =>
  [...new Set([0, 1, Math.ceil(n / 7), Math.ceil(n / 2), n])].sort((a, b) => a - b);
const every = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
const base = { penalty: none(), applyBDecToInput: false, bias: 0, options: { lengths: few } };

const cases: Case[] = [
  { ...base, name: 'topk, odd sizes', d: 13, n: 37, rows: 11, activation: topK(5) },
  { ...base, name: 'topk, one of everything', d: 1, n: 1, rows: 1, activation: topK(1) },
  { ...base, name: 'topk, k = N', d: 6, n: 9, rows: 5, activation: topK(9), options: { lengths: every } },
  {
    ...base,
    name: 'topk, several tiles',
    d: 70,
    n: 333,
    rows: 67,
    activation: topK(17),
    applyBDecToInput: true,
  },
  { ...base, name: 'topk, most rows short', d: 9, n: 50, rows: 14, activation: topK(20), bias: -1.5 },
  { ...base, name: 'no latent active', d: 8, n: 20, rows: 6, activation: topK(4), bias: -100 },
  {
    ...base,
    name: 'every prefix, decoder weights of its own',
    d: 21,
    n: 75,
    rows: 19,
    activation: topK(8),
    options: { lengths: every, v: (p) => (p === 75 ? 1 : 0), keepResidual: true, keepContributions: true },
  },
  {
    ...base,
    name: 'relu, l1',
    d: 10,
    n: 41,
    rows: 23,
    activation: relu(),
    penalty: l1(),
    options: { lengths: few, penaltyCoefficient: 0.1 },
  },
  {
    ...base,
    name: 'relu, log, x − b_dec',
    d: 17,
    n: 300,
    rows: 9,
    activation: relu(),
    penalty: log(),
    applyBDecToInput: true,
    options: { lengths: every, penaltyCoefficient: 0.03 },
  },
  {
    ...base,
    name: 'relu, sqrt',
    d: 5,
    n: 12,
    rows: 8,
    activation: relu(),
    penalty: sqrtPenalty(),
    options: { lengths: few, penaltyCoefficient: 0.2 },
  },
  {
    ...base,
    name: 'relu, tanh',
    d: 5,
    n: 12,
    rows: 8,
    activation: relu(),
    penalty: tanhPenalty(),
    options: { lengths: few, penaltyCoefficient: 0.2 },
  },
  { ...base, name: 'batchtopk', d: 19, n: 130, rows: 15, activation: batchTopK(6) },
  { ...base, name: 'batchtopk with a fraction', d: 7, n: 30, rows: 33, activation: batchTopK(2.5), bias: -1 },
  {
    ...base,
    name: 'jumprelu with l1 and an L0 penalty',
    d: 11,
    n: 65,
    rows: 18,
    activation: jumpRelu({ threshold: 0.3, bandwidth: 0.5 }),
    penalty: l1(),
    options: { lengths: few, penaltyCoefficient: 0.05, l0Penalty: { coefficient: 0.7, target: 9 } },
  },
];

/** The checks; they run on the current backend. */
export function sparseConformanceChecks(): ConformanceCheck[] {
  const shared = conformanceChecks({ step: sparseStep });
  return [
    ...shared.map((check) => ({ name: `sparse, ${check.name}`, run: check.run })),
    ...cases.map((c) => ({ name: `sparse equals dense: ${c.name}`, run: () => againstDense(c) })),
    ...cases.map((c) => ({ name: `encodeActive and decodeActive: ${c.name}`, run: () => inference(c) })),
    { name: 'every kernel equals its composition', run: composedAgreesWithOwn },
    { name: 'Adam and the global norm equal their composition', run: optimiserKernels },
    { name: 'a capacity that does not suffice is an error', run: tooLittleCapacity },
  ];
}

function setUp(c: Case): { sae: Sae; x: tf.Tensor2D; options: StepOptions } {
  const rng = createRng(11);
  const { d, n, rows, activation, penalty, applyBDecToInput } = c;
  const sae = createSae({
    dModel: d,
    nLatents: n,
    activation,
    penalty,
    applyBDecToInput,
    init: 'unit-norm',
    seed: 4,
  });
  const noise = (size: number, scale: number, shift = 0): tf.Tensor1D =>
    tf.tensor1d(Float32Array.from({ length: size }, () => shift + scale * rng.normal()));
  tf.tidy(() => {
    sae.params.b_enc.assign(noise(n, 0.2, c.bias));
    sae.params.b_dec.assign(noise(d, 0.3));
  });
  const x = tf.tidy(() => tf.reshape(noise(rows * d, 1), [rows, d]) as tf.Tensor2D);
  const lengths = c.options.lengths(n);
  const weights = lengths.map((_, j) => (j % 3) / 2 + 1 / lengths.length);
  const { lengths: _, v, ...rest } = c.options;
  const options: StepOptions = { ...rest, prefixes: { lengths, weights } };
  if (v) options.decoderPrefixWeights = lengths.map(v);
  return { sae, x, options };
}

async function againstDense(c: Case): Promise<void> {
  const before = tf.memory().numTensors;
  const { sae, x, options } = setUp(c);
  const tolerance = goldenTolerance(tf.getBackend());
  const dense = matryoshkaStep(sae, x, options);
  const sparse = sparseStep(sae, x, { ...options, maxReported: Number.POSITIVE_INFINITY });
  const again = sparseStep(sae, x, { ...options, maxReported: Number.POSITIVE_INFINITY });
  const pairs: [string, tf.Tensor | undefined, tf.Tensor | undefined, tf.Tensor | undefined][] = [
    ['metrics', sparse.metrics, dense.metrics, again.metrics],
    ['firings', sparse.firings, dense.firings, again.firings],
    ['residual', sparse.residual, dense.residual, again.residual],
    ['contributions', sparse.contributions, dense.contributions, again.contributions],
  ];
  for (const name of ['W_enc', 'b_enc', 'W_dec', 'b_dec', 'threshold'] as const) {
    pairs.push([`gradient of ${name}`, sparse.grads[name], dense.grads[name], again.grads[name]]);
  }
  for (const [name, actual, expected, repeated] of pairs) {
    if ((actual === undefined) !== (expected === undefined)) throw new Error(`${name}: only one path has it`);
    if (actual === undefined) continue;
    if (actual.shape.join() !== expected!.shape.join())
      throw new Error(`${name}: [${actual.shape}] instead of [${expected!.shape}]`);
    await toBeAllClose(actual, expected!, { tolerance, name });
    await toBeAllClose(repeated!, actual, { tolerance: 0, name: `${name}, second run` });
  }
  for (const step of [dense, sparse, again]) disposeStep(step);
  x.dispose();
  sae.dispose();
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left behind`);
}

async function inference(c: Case): Promise<void> {
  const before = tf.memory().numTensors;
  const { sae, x } = setUp(c);
  if (c.activation.kind === 'batchtopk') sae.inferenceThreshold = 0.25;
  const f = encode(sae, x);
  const active = encodeActive(sae, x);
  const listed = new Float32Array(c.rows * c.n);
  const [indices, values, counts] = [
    await active.indices.data(),
    await active.values.data(),
    await active.counts.data(),
  ];
  for (let row = 0; row < c.rows; row++) {
    for (let i = 0; i < active.capacity; i++) {
      const latent = indices[row * active.capacity + i]!;
      if (i > 0 && i < counts[row]! && latent <= indices[row * active.capacity + i - 1]!)
        throw new Error(`row ${row} is not ascending`);
      if (i >= counts[row]! && latent !== c.n)
        throw new Error(`row ${row}: padding must have index ${c.n}, got ${latent}`);
      if (i < counts[row]!) listed[row * c.n + latent] = values[row * active.capacity + i]!;
    }
  }
  await toBeAllClose(listed, f, { name: 'activations' });
  const decoded = decodeActive(sae, active);
  const expected = decode(sae, f);
  await toBeAllClose(decoded, expected, { name: 'reconstruction' });
  active.dispose();
  tf.dispose([f, x, decoded, expected]);
  sae.dispose();
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left behind`);
}

async function optimiserKernels(): Promise<void> {
  const before = tf.memory().numTensors;
  const rng = createRng(2);
  const make = (scale: number): tf.Variable =>
    tf.tidy(() =>
      tf.variable(tf.tensor1d(Float32Array.from({ length: 103 }, () => scale * Math.abs(rng.normal())))),
    );
  const first = [make(1), make(0.1), make(0.1)] as const;
  const second = first.map((t) => tf.tidy(() => tf.variable(tf.add(t, 0))));
  const grad = make(1);
  const scale = tf.tensor1d([0.5]);
  const attrs = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, step: 3 };
  const input = (p: readonly tf.Tensor[]): Record<string, tf.Tensor> => ({
    param: p[0]!,
    m: p[1]!,
    v: p[2]!,
    grad,
    scale,
  });
  runKernel(KERNEL.adam, input(first), attrs);
  composedKernels[KERNEL.adam]!(input(second), attrs);
  for (const [i, name] of ['param', 'm', 'v'].entries()) {
    await toBeAllClose(first[i]!, second[i]!, { tolerance: 1e-5, name });
  }
  const odd = tf.ones([7, 3]);
  const own = runKernel(KERNEL.globalNorm, { grad, odd })[0]!;
  const composed = composedKernels[KERNEL.globalNorm]!({ grad, odd }, {})[0]!;
  await toBeAllClose(own, composed, { tolerance: 1e-5, name: 'global norm' });
  tf.dispose([...first, ...second, grad, scale, odd, own, composed]);
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left behind`);
}

async function tooLittleCapacity(): Promise<void> {
  const { sae, x } = setUp(cases.find((c) => c.name === 'relu, l1')!);
  const before = tf.memory().numTensors;
  let message = '';
  try {
    const cut = encodeActive(sae, x, { capacity: 2 });
    if (Array.from(await cut.values.data()).some(Number.isNaN)) message = 'NaN, since the capacity is 2';
    cut.dispose();
  } catch (error) {
    message = String(error);
  }
  if (!message.includes('capacity is 2'))
    throw new Error(`expected an error that names the capacity, got "${message}"`);
  if (tf.memory().numTensors !== before) throw new Error('the failed call left tensors behind');
  sae.dispose();
  x.dispose();
}

async function composedAgreesWithOwn(): Promise<void> {
  const { sae, x } = setUp({ ...cases[0]!, n: 19, activation: topK(4) });
  const { W_enc, b_enc, W_dec, b_dec } = sae.params;
  const encodeInputs = { x, W_enc, b_enc };
  const encodeAttrs = { mode: 'topk', keep: 4, capacity: 4, cutoff: 0, margin: 0 };
  const own = runKernel(KERNEL.encodeActive, encodeInputs, encodeAttrs);
  const composed = composedKernels[KERNEL.encodeActive]!(encodeInputs, encodeAttrs);
  for (const [i, t] of own.entries())
    await toBeAllClose(t, composed[i]!, { tolerance: 1e-5, name: `encode output ${i}` });
  const cumulative = tf.tensor1d(Float32Array.from({ length: 20 }, (_, p) => (p < 2 ? 0 : p < 19 ? 1 : 2)));
  const [indices, values, counts] = own as [tf.Tensor, tf.Tensor, tf.Tensor];
  const lossInputs = { x, W_dec, b_dec, indices, values, counts, cumulative };
  const lossAttrs = {
    reportPrefixes: [2, 19],
    penalty: 'log',
    epsilon: 0.1,
    subtractLogEpsilon: false,
    lambda: 0.1,
    keepResidual: true,
  };
  const ownLoss = runKernel(KERNEL.weightedPrefixDecode, lossInputs, lossAttrs);
  const composedLoss = composedKernels[KERNEL.weightedPrefixDecode]!(lossInputs, lossAttrs);
  for (const [i, t] of ownLoss.entries())
    await toBeAllClose(t, composedLoss[i]!, { tolerance: 1e-5, name: `loss output ${i}` });
  const gradInputs = { x, b_dec, indices, values, counts, dValues: ownLoss[0]! };
  const ownGrads = runKernel(KERNEL.latentGrads, gradInputs, { nLatents: 19, bandwidth: 0 });
  const composedGrads = composedKernels[KERNEL.latentGrads]!(gradInputs, { nLatents: 19, bandwidth: 0 });
  for (const [i, t] of ownGrads.entries())
    await toBeAllClose(t, composedGrads[i]!, { tolerance: 1e-5, name: `latent output ${i}` });
  const decodeInputs = { W_dec, b_dec, indices, values, counts };
  const ownDecode = runKernel(KERNEL.decodeActive, decodeInputs);
  const composedDecode = composedKernels[KERNEL.decodeActive]!(decodeInputs, {});
  await toBeAllClose(ownDecode[0]!, composedDecode[0]!, { tolerance: 1e-5, name: 'decode' });
  tf.dispose([
    own,
    composed,
    ownLoss,
    composedLoss,
    ownGrads,
    composedGrads,
    ownDecode,
    composedDecode,
    cumulative,
    x,
  ]);
  sae.dispose();
}
