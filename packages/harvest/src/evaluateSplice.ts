/**
 * Puts a reconstruction in the place of the activations it was made of and lets the rest of the model run on it: how
 * much worse does the model predict? The graph is cut at the tap; the part after it gets x̂ instead of x.
 */
import { check, givenBy, msaeError, object, optional, type Schema, text, whole } from '@msae/schema';
import {
  type ContextOptions,
  contextBatches,
  contextOptions,
  type Documents,
  type TokenDocument,
} from './contexts.ts';
import { float32Of, keptRows, rowsOf, runEntries } from './harvest.ts';
import { crossEntropy, klDivergence, logSumExp } from './logProbabilities.ts';
import type { TransformerModel } from './model.ts';
import { meanActivation, predictions, repeated, targetsOf, withRows } from './predictions.ts';
import { spliceModel } from './splice.ts';

/** x̂ of rows of activations: [rows, width] → [rows, width]. Gets a copy, may work in place, may be asynchronous. */
export type Reconstruct = (x: Float32Array, rows: number) => Float32Array | Promise<Float32Array>;

/** Several x̂ of the same rows at once, in the order of their names. */
export interface Reconstructions {
  readonly names: readonly string[];
  make(x: Float32Array, rows: number): Promise<readonly Float32Array[]>;
}

/** What every measurement with a splice may be told. */
export interface SpliceRunOptions extends ContextOptions {
  tap: string;
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

export interface SpliceOptions extends SpliceRunOptions {
  /** What takes x's place, by name: `{ full: …, 'first 32': … }`. */
  reconstructions: Readonly<Record<string, Reconstruct>>;
}

const isFunction = (value: unknown): boolean => typeof value === 'function';

/** Entries of the schemas of everything that measures with a splice. */
export const spliceEntries: {
  readonly [K in keyof Required<SpliceRunOptions>]: Schema<NonNullable<SpliceRunOptions[K]>>;
} = {
  tap: text({ help: 'where the model is cut' }),
  output: optional(text({ help: 'output that holds the logits' })),
  mean: optional(givenBy<Float32Array>('a Float32Array', (value) => value instanceof Float32Array)),
  onProgress: optional(givenBy<NonNullable<SpliceRunOptions['onProgress']>>('a function', isFunction)),
  ...runEntries,
  batchSize: optional(whole({ min: 1, help: 'contexts of a batch' }), 8),
};

const schema: Schema<SpliceOptions> = object<SpliceOptions>({
  reconstructions: givenBy<SpliceOptions['reconstructions']>(
    'functions by name',
    (value) => typeof value === 'object' && value !== null && Object.values(value).every(isFunction),
    { help: 'what takes x’s place' },
  ),
  ...spliceEntries,
});

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

/**
 * Cross-entropy and KL with clean, reconstructed, zero-ablated and mean-ablated activations. For an SAE's reconstructions see
 * `spliceSaes`.
 *
 * @throws MsaeError `option` when the tap is unknown, `shape` when the output is not logits over the tokens or a reconstruction
 *   has the wrong size, `value` when there is no token to predict
 */
export async function evaluateSplice(
  model: TransformerModel,
  documents: Documents | (() => Documents),
  options: SpliceOptions,
): Promise<SpliceReport> {
  const { reconstructions, ...run } = check(schema, options, 'evaluateSplice');
  const one = ([name, make]: [string, Reconstruct]): Reconstructions => ({
    names: [name],
    make: async (x, rows) => [await make(x, rows)],
  });
  return measureSplices(model, documents, run, Object.entries(reconstructions).map(one));
}

/** {@link evaluateSplice} with options that are checked already, and reconstructions that come several at a time. */
export async function measureSplices(
  model: TransformerModel,
  documents: Documents | (() => Documents),
  options: SpliceRunOptions,
  groups: readonly Reconstructions[],
): Promise<SpliceReport> {
  const { tap, output, maxTokens = Number.POSITIVE_INFINITY, signal, onProgress } = options;
  const skipped = new Set(options.skipTokenIds);
  const batching = contextOptions(options);
  const again = typeof documents === 'function' ? documents : await replayable(documents);
  const spliced = await spliceModel(model, tap, output);
  try {
    const mean = options.mean ?? (await meanActivation(model, spliced, again(), { ...options, ...batching }));
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
          throw msaeError(
            'shape',
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
      for (const { names, make } of groups) {
        const made = await make(x.slice(), rows.length);
        for (const [i, name] of names.entries()) await measure(`= ${name}`, made[i]!);
      }
      tokens += reference.length;
      onProgress?.({ tokens });
    }
    if (tokens === 0)
      throw msaeError('value', 'splice: the documents hold no token to predict; give longer ones');
    return report(
      tokens,
      cleanSum / tokens,
      sums,
      groups.flatMap(({ names }) => names),
    );
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

async function replayable(documents: Documents): Promise<() => Documents> {
  if (Array.isArray(documents)) return () => documents;
  const all: TokenDocument[] = [];
  for await (const document of documents) all.push(document);
  return () => all;
}
