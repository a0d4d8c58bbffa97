/**
 * What an evaluation does to a batch, encoding and reconstruction: through the sparse kernels as `evaluate` does it, and densely
 * (encode to [B, N], read it back, list what is active, decode the lists), turn by turn in one run.
 * `npx tsx tools/bench/evaluate.ts [--d 768] [--n 24576] [--k 32] [--batch 1024] [--threads 2] [--repeats 5]`
 */
import { parseArgs } from 'node:util';
import { createSae, encode, topK } from '@msae/core';
import { saeLatents } from '@msae/eval';
import { createRng } from '@msae/sampler';
import { useWasm } from '@msae/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { type ActiveRows, activeRows, concatActiveRows } from '../../packages/eval/src/activeRows.ts';
import { decodeActive } from '../../packages/eval/src/decodeActive.ts';
import type { Matrix } from '../../packages/eval/src/matrix.ts';

const { values } = parseArgs({
  options: {
    d: { type: 'string', default: '768' },
    n: { type: 'string', default: '24576' },
    k: { type: 'string', default: '32' },
    batch: { type: 'string', default: '1024' },
    threads: { type: 'string', default: '2' },
    repeats: { type: 'string', default: '5' },
  },
});
const [d, N, k, B, threads, repeats] = [
  values.d,
  values.n,
  values.k,
  values.batch,
  values.threads,
  values.repeats,
].map(Number) as [number, number, number, number, number, number];
await useWasm({ threads });
const rng = createRng(0);
const sae = createSae({ dModel: d, nLatents: N, activation: topK(k), init: 'tied' });
const batch = { data: Float32Array.from({ length: B * d }, () => rng.normal()), rows: B, width: d };
const source = await saeLatents(sae);

async function sparse(): Promise<Matrix> {
  const active = await source.encode(batch);
  return (await source.reconstruct!(batch, active, [N]))[0]!;
}

/** In slices whose dense latents are 2²³ numbers. */
async function dense(): Promise<Matrix> {
  const size = Math.floor(2 ** 23 / N);
  const parts: ActiveRows[] = [];
  for (let from = 0; from < B; from += size) {
    const rows = Math.min(size, B - from);
    const slice = batch.data.subarray(from * d, (from + rows) * d);
    const f = tf.tidy(() => encode(sae, tf.tensor2d(slice, [rows, d])));
    parts.push(activeRows({ data: await f.data(), rows, columns: N }));
    f.dispose();
  }
  const active = concatActiveRows(parts, N);
  return decodeActive({ active, decoder: source.decoder, bias: source.bias, prefixes: [N] })[0]!;
}

async function timed(run: () => Promise<Matrix>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

const [a, b] = [await sparse(), await dense()];
let apart = 0;
for (let at = 0; at < a.data.length; at++) apart = Math.max(apart, Math.abs(a.data[at]! - b.data[at]!));
const times: { sparse: number[]; dense: number[] } = { sparse: [], dense: [] };
for (let i = 0; i < repeats; i++) {
  times.sparse.push(await timed(sparse));
  times.dense.push(await timed(dense));
}
const median = (all: number[]): number => all.sort((p, q) => p - q)[Math.floor(all.length / 2)]!;
const [fast, slow] = [median(times.sparse), median(times.dense)];
console.log(`wasm, ${threads} threads, d=${d} N=${N} k=${k} B=${B}, medians of ${repeats}`);
console.log(`sparse kernels  ${fast.toFixed(0)} ms`);
console.log(`dense           ${slow.toFixed(0)} ms  = ${(slow / fast).toFixed(2)} × the sparse kernels`);
console.log(`greatest difference of a reconstructed number: ${apart.toExponential(1)}`);
process.exit(0);
