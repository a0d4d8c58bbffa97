/**
 * What the sparse path has to get right on a backend: the shared conformance checks through `sparseStep`, agreement with
 * the dense path on sizes that are no multiples of anything, lists that are empty or cut, and every kernel against its
 * composition of stock ops.
 */
import { createRng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { absTopK } from '../activations/absTopK.ts';
import { batchTopK } from '../activations/batchTopK.ts';
import { jumpRelu } from '../activations/jumpRelu.ts';
import { relu } from '../activations/relu.ts';
import { type Activation, activationTraits } from '../activations/table.ts';
import { topK } from '../activations/topK.ts';
import { adamKernel } from '../kernels/adam/contract.ts';
import { decodeActiveKernel } from '../kernels/decodeActive/contract.ts';
import { type EncodeActiveAttrs, encodeActiveKernel } from '../kernels/encodeActive/contract.ts';
import { globalNormKernel } from '../kernels/globalNorm/contract.ts';
import { latentGradsKernel } from '../kernels/latentGrads/contract.ts';
import { prefixLossKernel } from '../kernels/prefixLoss/contract.ts';
import { matryoshkaStep } from '../loss/dense.ts';
import { disposeStep } from '../loss/metrics.ts';
import { sparseStep } from '../loss/sparse.ts';
import type { StepOptions } from '../loss/step.ts';
import { decode, decodeActive } from '../model/decode.ts';
import { encode } from '../model/encode.ts';
import { encodeActive } from '../model/encodeActive.ts';
import { createSae, type Sae } from '../model/sae.ts';
import { l1 } from '../penalties/l1.ts';
import { log } from '../penalties/log.ts';
import { none } from '../penalties/none.ts';
import { sqrtPenalty } from '../penalties/sqrt.ts';
import type { Penalty } from '../penalties/table.ts';
import { tanhPenalty } from '../penalties/tanh.ts';
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
  /** width of a target of its own */
  e?: number;
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
  { ...base, name: 'abstopk, odd sizes', d: 13, n: 37, rows: 11, activation: absTopK(5) },
  {
    ...base,
    name: 'abstopk, log, x − b_dec, every prefix',
    d: 29,
    n: 90,
    rows: 17,
    activation: absTopK(9),
    penalty: log(),
    applyBDecToInput: true,
    options: {
      lengths: every,
      penaltyCoefficient: 0.05,
      v: (p) => (p === 90 ? 1 : 0),
      keepContributions: true,
    },
  },
  {
    ...base,
    name: 'abstopk, all negative',
    d: 6,
    n: 21,
    rows: 7,
    activation: absTopK(4),
    penalty: l1(),
    bias: -100,
  },
  {
    ...base,
    name: 'topk, a wider target',
    d: 9,
    n: 40,
    rows: 21,
    activation: topK(6),
    e: 150,
    options: { lengths: every, keepResidual: true, keepContributions: true },
  },
  {
    ...base,
    name: 'relu, sqrt, a narrower target',
    d: 33,
    n: 50,
    rows: 12,
    activation: relu(),
    penalty: sqrtPenalty(),
    e: 5,
    options: { lengths: few, penaltyCoefficient: 0.1, keepResidual: true },
  },
  {
    ...base,
    name: 'batchtopk, a target of the same width',
    d: 12,
    n: 60,
    rows: 10,
    activation: batchTopK(5),
    e: 12,
  },
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
    { name: 'Adam and the global norm equal their composition', run: optimizerKernels },
    { name: 'a capacity that does not suffice is an error', run: tooLittleCapacity },
  ];
}

function setUp(c: Case): { sae: Sae; x: tf.Tensor2D; options: StepOptions } {
  const rng = createRng(11);
  const { d, n, rows, e, activation, penalty, applyBDecToInput } = c;
  const sae = createSae({
    input: d,
    ...(e !== undefined && { output: e }),
    nLatents: n,
    activation,
    penalty,
    applyBDecToInput,
    init: 'unit-norm',
    seed: 4,
  });
  const noise = (size: number, scale: number, shift = 0): tf.Tensor1D =>
    tf.tensor1d(Float32Array.from({ length: size }, () => shift + scale * rng.normal()));
  const matrix = (columns: number): tf.Tensor2D =>
    tf.tidy(() => tf.reshape(noise(rows * columns, 1), [rows, columns]) as tf.Tensor2D);
  tf.tidy(() => {
    sae.params.b_enc.assign(noise(n, 0.2, c.bias));
    sae.params.b_dec.assign(noise(e ?? d, 0.3));
  });
  const x = matrix(d);
  const lengths = c.options.lengths(n);
  const weights = lengths.map((_, j) => (j % 3) / 2 + 1 / lengths.length);
  const { lengths: _, v, ...rest } = c.options;
  const options: StepOptions = { ...rest, prefixes: { lengths, weights } };
  if (v) options.decoderPrefixWeights = lengths.map(v);
  if (e !== undefined) options.target = matrix(e);
  return { sae, x, options };
}

async function againstDense(c: Case): Promise<void> {
  const before = tf.memory().numTensors;
  const { sae, x, options } = setUp(c);
  const tolerance = goldenTolerance();
  const dense = matryoshkaStep(sae, x, options);
  const sparse = sparseStep(sae, x, { ...options, maxReported: Number.POSITIVE_INFINITY });
  const again = sparseStep(sae, x, { ...options, maxReported: Number.POSITIVE_INFINITY });
  const pairs: [string, tf.Tensor | undefined, tf.Tensor | undefined, tf.Tensor | undefined][] = [
    ['metrics', sparse.metrics, dense.metrics, again.metrics],
    ['firings', sparse.firings, dense.firings, again.firings],
    ['residual', sparse.residual, dense.residual, again.residual],
    ['contributions', sparse.contributions, dense.contributions, again.contributions],
    ['smallest kept', sparse.smallestKept, dense.smallestKept, again.smallestKept],
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
  tf.dispose([x, ...(options.target ? [options.target] : [])]);
  sae.dispose();
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left behind`);
}

async function inference(c: Case): Promise<void> {
  const before = tf.memory().numTensors;
  const { sae, x, options } = setUp(c);
  options.target?.dispose();
  if (activationTraits(c.activation).needsThreshold) sae.inferenceThreshold = 0.25;
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

async function optimizerKernels(): Promise<void> {
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
  const input = ([param, m, v]: readonly tf.Tensor[]) => ({ param: param!, m: m!, v: v!, grad, scale });
  adamKernel.run(input(first), attrs);
  adamKernel.composed(input(second), attrs);
  for (const [i, name] of ['param', 'm', 'v'].entries()) {
    await toBeAllClose(first[i]!, second[i]!, { tolerance: 1e-5, name });
  }
  const odd = tf.ones([7, 3]);
  const own = globalNormKernel.run({ grad, odd }, {}).norm;
  const composed = globalNormKernel.composed({ grad, odd }, {}).norm;
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
  const before = tf.memory().numTensors;
  const { W_enc, b_enc, W_dec, b_dec } = sae.params;
  const kept: tf.Tensor[] = [];
  /** Both forms of a call; their outputs have the same names and numbers. */
  const compare = async <O extends object>(name: string, own: O, composed: O): Promise<O> => {
    const [a, b] = [own, composed] as [Record<string, tf.Tensor>, Record<string, tf.Tensor>];
    if (Object.keys(a).sort().join() !== Object.keys(b).sort().join())
      throw new Error(`${name} has the outputs ${Object.keys(a)}, composed ${Object.keys(b)}`);
    for (const [output, tensor] of Object.entries(a)) {
      await toBeAllClose(tensor, b[output]!, { tolerance: 1e-5, name: `${name}, ${output}` });
    }
    kept.push(...Object.values(a), ...Object.values(b));
    return own;
  };
  const encodeInputs = { x, W_enc, b_enc };
  const top: EncodeActiveAttrs = {
    rule: 'perRow',
    score: 'value',
    keep: 4,
    cutoff: 0,
    margin: 0,
    capacity: 4,
  };
  for (const attrs of [
    { ...top, score: 'magnitude' as const },
    { ...top, rule: 'perBatch' as const, keep: 30, capacity: 19 },
    { ...top, rule: 'perBatch' as const, score: 'magnitude' as const, keep: 30, capacity: 19 },
    { ...top, rule: 'above' as const, keep: 0, cutoff: 0.3, capacity: 19 },
    { ...top, rule: 'above' as const, score: 'magnitude' as const, keep: 0, cutoff: 0.3, capacity: 19 },
  ]) {
    const run = encodeActiveKernel.run(encodeInputs, attrs);
    await compare(
      `encode ${attrs.rule} ${attrs.score}`,
      run,
      encodeActiveKernel.composed(encodeInputs, attrs),
    );
  }
  const { indices, values, counts } = await compare(
    'encode',
    encodeActiveKernel.run(encodeInputs, top),
    encodeActiveKernel.composed(encodeInputs, top),
  );
  const signs = tf.tidy(() => tf.mul(values, tf.tensor1d([1, -1, 1, -1])) as tf.Tensor2D);
  const cumulative = tf.tensor1d(Float32Array.from({ length: 20 }, (_, p) => (p < 2 ? 0 : p < 19 ? 1 : 2)));
  for (const listed of [values, signs]) {
    const lossInputs = { target: x, W_dec, b_dec, indices, values: listed, counts, cumulative };
    const lossAttrs = { reportPrefixes: [2, 19], penalty: log(), lambda: 0.1, keepResidual: true };
    const { dValues } = await compare(
      listed === values ? 'loss' : 'loss of signed activations',
      prefixLossKernel.run(lossInputs, lossAttrs),
      prefixLossKernel.composed(lossInputs, lossAttrs),
    );
    const gradInputs = { x, b_dec, indices, values: listed, counts, dValues };
    const gradAttrs = { nLatents: 19, bandwidth: 0 };
    await compare(
      'latents',
      latentGradsKernel.run(gradInputs, gradAttrs),
      latentGradsKernel.composed(gradInputs, gradAttrs),
    );
    const decodeInputs = { W_dec, b_dec, indices, values: listed, counts };
    await compare(
      'decode',
      decodeActiveKernel.run(decodeInputs, {}),
      decodeActiveKernel.composed(decodeInputs, {}),
    );
  }
  tf.dispose([...kept, signs, cumulative]);
  const left = tf.memory().numTensors - before;
  if (left !== 0) throw new Error(`${left} tensors are left behind`);
  x.dispose();
  sae.dispose();
}
