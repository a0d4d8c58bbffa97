/**
 * The dense step: 10 prefixes against one, and against one forward pass per prefix under autodiff.
 * `npx tsx tools/bench/dense.ts [--d 256] [--n 4096] [--batch 1024] [--threads 2] [--repeats 7]`
 */
import { parseArgs } from 'node:util';
import { createSae, disposeStep, log, matryoshkaStep } from '@msae/core';
import { createRng, truncatedPareto } from '@msae/sampler';
import { useWasm } from '@msae/wasm';
import * as tf from '@tensorflow/tfjs';
import { naivePrefixLoss } from '../../packages/core/test/naivePrefixLoss.ts';

const { values } = parseArgs({
  options: {
    d: { type: 'string', default: '256' },
    n: { type: 'string', default: '4096' },
    batch: { type: 'string', default: '1024' },
    threads: { type: 'string', default: '2' },
    repeats: { type: 'string', default: '7' },
  },
});
const [d, N, B, threads, repeats] = [values.d, values.n, values.batch, values.threads, values.repeats].map(
  Number,
) as [number, number, number, number, number];
await useWasm({ threads });
const rng = createRng(0);
const sae = createSae({ dModel: d, nLatents: N, penalty: log() });
const x = tf.tensor2d(
  Float32Array.from({ length: B * d }, () => rng.normal()),
  [B, d],
);
const prefixes = (count: number) => truncatedPareto({ count }).sample(N, createRng(1));

async function step(count: number): Promise<number> {
  const start = performance.now();
  const result = matryoshkaStep(sae, x, { prefixes: prefixes(count), penaltyCoefficient: 0.01 });
  await result.metrics.data();
  const ms = performance.now() - start;
  disposeStep(result);
  return ms;
}

async function autodiff(): Promise<number> {
  const start = performance.now();
  const { W_enc, b_enc, W_dec, b_dec } = sae.params;
  const { value, grads } = tf.variableGrads(
    () => naivePrefixLoss({ W_enc, b_enc, W_dec, b_dec }, x, prefixes(10), { penaltyCoefficient: 0.01 }),
    [W_enc, b_enc, W_dec, b_dec],
  );
  await value.data();
  const ms = performance.now() - start;
  tf.dispose([value, grads]);
  return ms;
}

const median = (times: number[]): number => times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
const [one, ten]: [number[], number[]] = [[], []];
await step(1);
for (let i = 0; i < repeats; i++) {
  one.push(await step(1));
  ten.push(await step(10));
}
const naive = await autodiff();
const [a, b] = [median(one), median(ten)];
console.log(`wasm, ${threads} threads, d=${d} N=${N} B=${B}, medians of ${repeats}`);
console.log(`P=1   ${a.toFixed(0)} ms`);
console.log(`P=10  ${b.toFixed(0)} ms  = ${(b / a).toFixed(2)} × P=1`);
console.log(
  `P=10, one pass per prefix under autodiff  ${naive.toFixed(0)} ms  = ${(naive / b).toFixed(1)} × ours (one run)`,
);
process.exit(0);
