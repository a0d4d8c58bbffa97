/**
 * Tokens per second up to a tap: graphs built from weights against the same model exported by optimum, pruned at the same tap,
 * on the same onnxruntime and threads. Runs alternate, so that both meet the same load; ratios are of neighbours.
 *
 *     npx tsx tools/bench/weights.ts --optimum model.onnx --tensor /model/layers.14/Add_1_output_0 \
 *       --weights a.gguf --weights folder [--tap blocks.14.resid_post] [--contexts 16] [--length 128] [--threads 2] [--rounds 9]
 */
import { parseArgs } from 'node:util';
import type { OnnxRuntime, TransformerModel } from '@msae/harvest';
import { loadOnnxRuntime, openModelFile } from '@msae/harvest/node';
import { feedPlan } from '../../packages/harvest/src/feeds.ts';

const { values } = parseArgs({
  options: {
    optimum: { type: 'string' },
    tensor: { type: 'string', default: '/model/layers.14/Add_1_output_0' },
    weights: { type: 'string', multiple: true, default: [] },
    tap: { type: 'string', default: 'blocks.14.resid_post' },
    contexts: { type: 'string', default: '16' },
    length: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '9' },
  },
});
const [contexts, length, threads, rounds] = [
  values.contexts,
  values.length,
  values.threads,
  values.rounds,
].map(Number) as [number, number, number, number];
const runtime: OnnxRuntime = await loadOnnxRuntime();
const ids = Int32Array.from({ length: contexts * length }, (_, i) => (i * 37) % 49_000);
const batch = { batch: contexts, length, ids, mask: new Uint8Array(ids.length).fill(1) };

interface Runner {
  name: string;
  run(): Promise<Float32Array>;
  milliseconds: number[];
}

async function runner(name: string, model: TransformerModel, tap: string): Promise<Runner> {
  const { session, inputs } = await model.session([tap]);
  const feeds = feedPlan(name, inputs, runtime).feeds(batch);
  const tensor = model.resolve(tap);
  const run = async () => (await session.run(feeds))[tensor]!.data as Float32Array;
  return { name, run, milliseconds: [] };
}

const runners: Runner[] = [];
if (values.optimum !== undefined) {
  const { model } = await openModelFile(values.optimum, { threads, probe: false });
  runners.push(await runner('optimum', model, values.tensor));
}
for (const place of values.weights) {
  const { model } = await openModelFile(place, { threads });
  runners.push(await runner(place.split('/').slice(-1)[0]!, model, values.tap));
}
const first = await runners[0]!.run();
for (const { name, run } of runners.slice(1)) {
  const other = await run();
  const scale = first.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const farthest = first.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
  console.log(
    `${name}: farthest from ${runners[0]!.name} ${farthest.toExponential(1)}, of values up to ${scale.toFixed(0)}`,
  );
}
for (let round = 0; round < rounds; round++) {
  for (const one of runners) {
    const start = performance.now();
    await one.run();
    one.milliseconds.push(performance.now() - start);
  }
}
const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
for (const { name, milliseconds } of runners) {
  const rate = (ms: number) => Math.round((1000 * contexts * length) / ms);
  const ratio = median(milliseconds.map((ms, i) => runners[0]!.milliseconds[i]! / ms));
  console.log(
    `${name}: ${rate(median(milliseconds))} tokens/s (best ${rate(Math.min(...milliseconds))}), ${ratio.toFixed(2)} × ${runners[0]!.name}`,
  );
}
