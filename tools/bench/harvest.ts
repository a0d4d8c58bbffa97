/**
 * Harvest rate against onnxruntime itself: tokens per second of a harvest that writes a float16 store, and of the same
 * untouched model in onnxruntime on the very same batches, nothing read out but what it returns.
 *
 *     npx tsx tools/bench/harvest.ts [--tokens 40000] [--threads 2] [--rounds 3] [--json]
 *
 * A harvest computes the tap and nothing that it does not need, so it may well be faster than the whole model; what a
 * tap costs in the whole model is shown too. Rounds alternate; the median counts.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { harvestToStores } from '@msae/harvest';
import { loadOnnxRuntime, openModelFile, storeFolders } from '@msae/harvest/node';
import { brownTokens, readBrown } from '@msae/lab/node';
import { contextBatches } from '../../packages/harvest/src/contexts.ts';
import { feedPlan } from '../../packages/harvest/src/feeds.ts';

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '40000' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const [maxTokens, threads, rounds] = [values.tokens, values.threads, values.rounds].map(Number) as [
  number,
  number,
  number,
];
const tap = 'blocks.2.resid_post';
const ort = await loadOnnxRuntime();
const file = new URL('../../examples/brown-lm/model/model.onnx', import.meta.url).pathname;
const { model, tokenizer } = await openModelFile(file, { threads });
const documents = [...brownTokens((await readBrown()).slice(0, Math.ceil(maxTokens / 2000)), tokenizer!)];
const folder = await mkdtemp(join(tmpdir(), 'msae-bench-'));

type Session = Awaited<ReturnType<typeof model.session>>;

async function rateOf({ session, inputs }: Session): Promise<number> {
  const plan = feedPlan(model.name, inputs, ort);
  let tokens = 0;
  const started = performance.now();
  for await (const batch of contextBatches(documents, plan)) {
    if (tokens >= maxTokens) break;
    await session.run(plan.feeds(batch));
    tokens += batch.contexts.reduce((sum, context) => sum + context.ids.length, 0);
  }
  const rate = tokens / ((performance.now() - started) / 1000);
  await session.release();
  return rate;
}

/** The file as it came, on the batches a harvest makes. */
async function untapped(): Promise<number> {
  const { inputs, session } = await model.session(model.graph.outputs);
  await session.release();
  const options = { intraOpNumThreads: threads, logSeverityLevel: 3 } as const;
  const original = await ort.InferenceSession.create(await readFile(file), options);
  return rateOf({ session: original, inputs, outputs: [] });
}

/** The whole model with the tap as one more output. */
const tapped = async (): Promise<number> => rateOf(await model.session([...model.graph.outputs, tap]));

/** The tap and no more, written to a float16 store. */
async function pruned(round: number): Promise<number> {
  const stores = storeFolders(join(folder, `round${round}`), [tap]);
  const { newRows, seconds } = await harvestToStores(model, documents, {
    stores,
    origin: 'bench',
    maxTokens,
  });
  return newRows / seconds;
}

const rates = { untapped: [] as number[], tapped: [] as number[], pruned: [] as number[] };
try {
  await untapped(); // warm up
  for (let round = 0; round < rounds; round++) {
    rates.untapped.push(await untapped());
    rates.tapped.push(await tapped());
    rates.pruned.push(await pruned(round));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
const result = {
  tap,
  threads,
  tokens: maxTokens,
  tokensPerSecond: {
    onnxruntime: Math.round(median(rates.untapped)),
    'tap and whole model': Math.round(median(rates.tapped)),
    'harvest to a store': Math.round(median(rates.pruned)),
  },
  ratio: {
    'tap and whole model': Number((median(rates.tapped) / median(rates.untapped)).toFixed(2)),
    'harvest to a store': Number((median(rates.pruned) / median(rates.untapped)).toFixed(2)),
  },
};
if (values.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
else {
  for (const [name, rate] of Object.entries(result.tokensPerSecond)) {
    process.stdout.write(`${name.padEnd(22)} ${String(rate).padStart(8)} tokens/s\n`);
  }
  process.stdout.write(`harvest / onnxruntime: ${result.ratio['harvest to a store']}\n`);
}
