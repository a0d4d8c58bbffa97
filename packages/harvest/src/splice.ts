/**
 * Puts a reconstruction in the place of the activations it was made of and lets the rest of the model run on it: how
 * much worse does the model predict? The graph is cut at the tap; the part after it gets x̂ instead of x.
 */
import {
  type ContextBatch,
  type ContextOptions,
  contextBatches,
  type Documents,
  type TokenDocument,
} from './contexts.ts';
import { type FeedPlan, feedPlan } from './feeds.ts';
import { float32Of, keptRows, rowsOf } from './harvest.ts';
import {
  crossEntropy,
  type Distribution,
  distribution,
  klDivergence,
  logSumExp,
} from './logProbabilities.ts';
import type { TransformerModel } from './model.ts';
import type { OnnxTensor, Session } from './runtime.ts';

/** x̂ of rows of activations: [rows, width] → [rows, width]. Gets a copy, may work in place, may be asynchronous. */
export type Reconstruct = (x: Float32Array, rows: number) => Float32Array | Promise<Float32Array>;

export interface SpliceOptions extends ContextOptions {
  tap: string;
  /** What takes x's place, by name: `{ full: …, 'first 32': … }`, one entry for each prefix of an SAE. */
  reconstructions: Readonly<Record<string, Reconstruct>>;
  /** Output that holds the logits. Default: the model's first output. */
  output?: string;
  /** Ends after about this many predictions (at the end of a batch). */
  maxTokens?: number;
  /** Tokens whose activations are left as they are (and count as predictions still). */
  skipTokenIds?: readonly number[];
  /** [width] what mean ablation puts in. Default: the mean over the same tokens, at the price of a second pass. */
  mean?: Float32Array;
  signal?: AbortSignal | undefined;
  onProgress?: (progress: { tokens: number }) => void;
}

/** Means over the predicted tokens, nats. */
export interface SplicedLoss {
  crossEntropy: number;
  /** KL(clean ‖ spliced) */
  kl: number;
}

export interface SpliceReport {
  /** Tokens predicted. */
  tokens: number;
  /** Cross-entropy of the model as it is. */
  clean: number;
  zeroAblated: SplicedLoss;
  meanAblated: SplicedLoss;
  reconstructions: Record<string, SplicedLoss & Recovered>;
}

export interface Recovered {
  /** (CE zero − CE reconstructed) / (CE zero − CE clean): 1 = nothing lost, 0 = no better than zeros. */
  ceRecovered: number;
  /** The same against mean ablation. */
  ceRecoveredOverMean: number;
  /** 1 − KL reconstructed / KL zero */
  klRecovered: number;
}

/** A model cut at a tap. */
export interface SplicedModel {
  /** Values of the tap and of the output with nothing replaced. */
  clean(batch: ContextBatch): Promise<{ tap: OnnxTensor; output: OnnxTensor }>;
  /** Values of the output when the tap is `values`, of the tap's own shape. */
  run(batch: ContextBatch, tap: OnnxTensor, values: Float32Array): Promise<OnnxTensor>;
  plan: FeedPlan;
  release(): Promise<void>;
}

/**
 * Cuts a model at a tap.
 *
 * @throws when the tap is unknown or the output does not depend on it
 */
export async function spliceModel(
  model: TransformerModel,
  tap: string,
  output?: string,
): Promise<SplicedModel> {
  const wanted = output ?? model.graph.outputs[0]!;
  const tensor = model.resolve(tap);
  const name = model.resolve(wanted);
  const spliced = await model.splicedSession(tap, [name]);
  const whole = await model.session([tensor, name]);
  const plan = feedPlan(model.name, whole.inputs, model.runtime);
  const rest = feedPlan(model.name, spliced.inputs, model.runtime, [spliced.fedInput]);
  return {
    plan,
    async clean(batch) {
      const outputs = await whole.session.run(plan.feeds(batch));
      return { tap: outputs[tensor]!, output: outputs[name]! };
    },
    async run(batch, like, values) {
      const fed = new model.runtime.Tensor('float32', values, like.dims);
      if (like.type !== 'float32')
        throw new Error(`tap ${tap} is ${like.type}; only float32 can be replaced`);
      const outputs = await spliced.session.run({ ...rest.feeds(batch), [spliced.fedInput]: fed });
      return outputs[name]!;
    },
    async release() {
      await (whole.session as Session).release();
      await spliced.session.release();
    },
  };
}

/**
 * Cross-entropy and KL with clean, reconstructed, zero-ablated and mean-ablated activations.
 *
 * @throws when the tap is unknown, the output is not logits over the tokens, or a reconstruction has the wrong size
 */
export async function evaluateSplice(
  model: TransformerModel,
  documents: Documents | (() => Documents),
  options: SpliceOptions,
): Promise<SpliceReport> {
  const { tap, output, reconstructions, maxTokens = Number.POSITIVE_INFINITY, signal, onProgress } = options;
  const skipped = new Set(options.skipTokenIds);
  const batching = { batchSize: 8, ...options };
  const again = typeof documents === 'function' ? documents : await replayable(documents);
  const spliced = await spliceModel(model, tap, output);
  try {
    const mean = options.mean ?? (await meanActivation(model, spliced, again(), { ...options, ...batching }));
    const names = Object.keys(reconstructions);
    const sums = new Map<string, { ce: number; kl: number }>();
    let [tokens, cleanSum] = [0, 0];
    for await (const batch of contextBatches(again(), spliced.plan, batching)) {
      if (tokens >= maxTokens) break;
      signal?.throwIfAborted();
      const targets = targetsOf(batch);
      const rows = keptRows(batch, skipped);
      const clean = await spliced.clean(batch);
      const { data: x, width } = rowsOf(clean.tap, batch, rows, `${model.name}: tap ${tap}`);
      const reference = predictions(clean.output, batch, targets);
      for (const { target, p } of reference) cleanSum += crossEntropy(p.logits, p.logNormalizer, target);
      const measure = async (name: string, replacement: Float32Array) => {
        if (replacement.length !== x.length) {
          throw new Error(
            `reconstruction ${name.replace(/^= /, '')}: ${replacement.length} values for ${rows.length} rows of ${width}; expected ${x.length}`,
          );
        }
        const values = withRows(float32Of(clean.tap, tap), rows, replacement, width);
        const logits = float32Of(await spliced.run(batch, clean.tap, values), 'the output');
        const sum = sums.get(name) ?? { ce: 0, kl: 0 };
        for (const { index, target, p } of reference) {
          const row = logits.subarray(index * p.logits.length, (index + 1) * p.logits.length);
          const logNormalizer = logSumExp(row);
          sum.ce += crossEntropy(row, logNormalizer, target);
          sum.kl += klDivergence(p, row, logNormalizer);
        }
        sums.set(name, sum);
      };
      await measure('zero', new Float32Array(x.length));
      await measure('mean', repeated(mean, rows.length));
      for (const name of names)
        await measure(`= ${name}`, await reconstructions[name]!(x.slice(), rows.length));
      tokens += reference.length;
      onProgress?.({ tokens });
    }
    if (tokens === 0) throw new Error('splice: the documents hold no token to predict; give longer ones');
    return report(tokens, cleanSum / tokens, sums, names);
  } finally {
    await spliced.release();
  }
}

function report(
  tokens: number,
  clean: number,
  sums: ReadonlyMap<string, { ce: number; kl: number }>,
  names: readonly string[],
): SpliceReport {
  const loss = (name: string): SplicedLoss => {
    const { ce, kl } = sums.get(name)!;
    return { crossEntropy: ce / tokens, kl: kl / tokens };
  };
  const [zeroAblated, meanAblated] = [loss('zero'), loss('mean')];
  const recovered = (spliced: SplicedLoss): Recovered => ({
    ceRecovered: (zeroAblated.crossEntropy - spliced.crossEntropy) / (zeroAblated.crossEntropy - clean),
    ceRecoveredOverMean:
      (meanAblated.crossEntropy - spliced.crossEntropy) / (meanAblated.crossEntropy - clean),
    klRecovered: 1 - spliced.kl / zeroAblated.kl,
  });
  const reconstructions: SpliceReport['reconstructions'] = {};
  for (const name of names) {
    const spliced = loss(`= ${name}`);
    reconstructions[name] = { ...spliced, ...recovered(spliced) };
  }
  return { tokens, clean, zeroAblated, meanAblated, reconstructions };
}

/** [batch, length] the token that follows; -1 where none does. */
function targetsOf(batch: ContextBatch): Int32Array {
  const targets = new Int32Array(batch.batch * batch.length).fill(-1);
  batch.contexts.forEach((context, b) => {
    targets.set(context.ids.subarray(1), b * batch.length);
    targets[b * batch.length + context.ids.length - 1] = context.next;
  });
  return targets;
}

function predictions(
  output: OnnxTensor,
  batch: ContextBatch,
  targets: Int32Array,
): { index: number; target: number; p: Distribution }[] {
  const logits = float32Of(output, 'the output');
  const vocabulary = output.dims.at(-1) ?? 0;
  const largest = targets.reduce((a, b) => Math.max(a, b), -1);
  if (logits.length !== batch.batch * batch.length * vocabulary || largest >= vocabulary) {
    throw new Error(
      `the output has shape [${output.dims.join(', ')}]; expected logits [${batch.batch}, ${batch.length}, vocabulary > ${largest}]: name the output that holds them`,
    );
  }
  const found: { index: number; target: number; p: Distribution }[] = [];
  targets.forEach((target, index) => {
    if (target < 0) return;
    found.push({
      index,
      target,
      p: distribution(logits.subarray(index * vocabulary, (index + 1) * vocabulary)),
    });
  });
  return found;
}

async function meanActivation(
  model: TransformerModel,
  spliced: SplicedModel,
  documents: Documents,
  options: SpliceOptions,
): Promise<Float32Array> {
  const { tap, maxTokens = Number.POSITIVE_INFINITY, signal } = options;
  const skipped = new Set(options.skipTokenIds);
  const { session } = await model.session([tap]);
  const tensor = model.resolve(tap);
  let sum = new Float64Array(0);
  let count = 0;
  try {
    for await (const batch of contextBatches(documents, spliced.plan, options)) {
      if (count >= maxTokens) break;
      signal?.throwIfAborted();
      const rows = keptRows(batch, skipped);
      const feeds = spliced.plan.feeds(batch);
      const fed = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]!]));
      const outputs = await session.run(fed);
      const { data, width } = rowsOf(outputs[tensor]!, batch, rows, `${model.name}: tap ${tap}`);
      if (sum.length === 0) sum = new Float64Array(width);
      for (let i = 0; i < data.length; i++) sum[i % width]! += data[i]!;
      count += rows.length;
    }
  } finally {
    await session.release();
  }
  return Float32Array.from(sum, (value) => value / Math.max(1, count));
}

function withRows(
  values: Float32Array,
  rows: Int32Array,
  replacement: Float32Array,
  width: number,
): Float32Array {
  const out = values.slice();
  rows.forEach((row, i) => {
    out.set(replacement.subarray(i * width, (i + 1) * width), row * width);
  });
  return out;
}

function repeated(row: Float32Array, rows: number): Float32Array {
  const out = new Float32Array(rows * row.length);
  for (let i = 0; i < rows; i++) out.set(row, i * row.length);
  return out;
}

async function replayable(documents: Documents): Promise<() => Documents> {
  if (Array.isArray(documents)) return () => documents;
  const all: TokenDocument[] = [];
  for await (const document of documents) all.push(document);
  return () => all;
}
