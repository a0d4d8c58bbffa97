/** One pass over a stream of activations that feeds every metric; knows nothing of tfjs (see evaluateSae for the adaptor). */
import { activationHistograms } from './activationHistogram.ts';
import type { ActiveRows } from './activeRows.ts';
import { contextCollector } from './contexts.ts';
import { cooccurrenceAccumulator } from './cooccurrence.ts';
import { checkPrefixes, decodeActive } from './decodeActive.ts';
import { type DenseProbe, denseProbes } from './denseProbes.ts';
import type { LabelProbes, SaeEvaluation } from './evaluation.ts';
import type { EvaluationBatch, LabelSet } from './evaluationBatch.ts';
import { type ForestOptions, latentForest } from './forest.ts';
import { labelAbsorption } from './labelAbsorption.ts';
import { labelProfiles } from './labelProfile.ts';
import type { Matrix, Numbers } from './matrix.ts';
import { probeSampler } from './probeSampler.ts';
import { reconstructionAccumulator } from './reconstruction.ts';
import { selfSimilarity } from './selfSimilarity.ts';
import { sparseProbing } from './sparseProbing.ts';
import { sparsityAccumulator } from './sparsity.ts';

export interface EvaluationOptions {
  /** Prefix lengths to report, ascending; N is added where it is missing. Default [N]. */
  readonly prefixes?: readonly number[];
  /** The first set also makes the profile of every latent. */
  readonly labelSets?: readonly LabelSet[];
  readonly contexts?: { readonly count?: number; readonly before?: number; readonly after?: number };
  readonly forest?: ForestOptions;
  /** Tokens kept for probes (spread evenly where `totalRows` is known). 0: no probes. Default 20,000. */
  readonly probeTokens?: number;
  /**
   * Probes on x by the name of their label set: found here they are used, else fitted and put here. Hand the same map to the
   * evaluations of several SAEs on one stream, and each probe is fitted once.
   */
  readonly denseProbes?: Map<string, ReadonlyMap<number, DenseProbe>>;
  /** Rows that will come, where known. */
  readonly totalRows?: number;
  /** Called after every batch with the rows so far. */
  readonly onProgress?: (rows: number) => void;
  readonly signal?: AbortSignal;
}

export interface LatentSource {
  readonly nLatents: number;
  readonly dModel: number;
  /** W_dec [N, d] and b_dec [d]. */
  readonly decoder: Matrix;
  readonly bias: Numbers;
  encode(batch: EvaluationBatch): ActiveRows | Promise<ActiveRows>;
}

/**
 * Evaluates latents on a stream. Memory: O(N · contexts) and one batch, plus the probe sample. Throws a RangeError for a stream of
 * another width, an empty stream, or numbers that are not finite.
 */
export async function evaluateLatents(
  source: LatentSource,
  batches: AsyncIterable<EvaluationBatch> | Iterable<EvaluationBatch>,
  options: EvaluationOptions = {},
): Promise<SaeEvaluation> {
  const { nLatents, dModel, decoder, bias } = source;
  const { labelSets = [], probeTokens = 20_000, totalRows } = options;
  const lengths = [...(options.prefixes ?? [])];
  if (lengths.at(-1) !== nLatents) lengths.push(nLatents);
  checkPrefixes(lengths, nLatents);

  const sparsity = sparsityAccumulator(nLatents);
  const histograms = activationHistograms({ nLatents });
  const pairs = cooccurrenceAccumulator({ nLatents });
  const collector = contextCollector({ nLatents, ...options.contexts });
  const reconstruction = reconstructionAccumulator(dModel);
  const errors = new Float64Array(lengths.length);
  const activeBelow = new Float64Array(lengths.length);
  const profileSet = labelSets[0];
  const profiles = profileSet && labelProfiles({ nLatents, nLabels: profileSet.names.length });
  const sampler = probeSampler({ width: dModel, nLatents, labelSets, probeTokens, totalRows });
  let rows = 0;
  for await (const batch of batches) {
    options.signal?.throwIfAborted();
    if (batch.width !== dModel) {
      throw new RangeError(
        `evaluate: the activations are ${batch.width} wide but the SAE was made for ${dModel}; give the SAE the layer it was trained on`,
      );
    }
    const active = await source.encode(batch);
    const x: Matrix = { data: batch.data, rows: batch.rows, columns: dModel };
    const rebuilt = decodeActive({ active, decoder, bias, prefixes: lengths });
    reconstruction.add(x, rebuilt.at(-1)!);
    rebuilt.forEach((xHat, p) => {
      errors[p]! += squaredError(x, xHat);
    });
    countBelow(active, lengths, activeBelow);
    sparsity.add(active);
    histograms.add(active);
    pairs.add(active);
    if (batch.tokenIds) {
      const positions = readingOrder(batch);
      collector.add({ active, tokens: batch.tokenIds, ...(positions && { positions }) });
    }
    const labels = labelSets.map((set) => set.labelsOf(batch, rows));
    if (profiles) profiles.add(active, labels[0]!);
    sampler.add(x, active, labels);
    rows += batch.rows;
    options.onProgress?.(rows);
  }
  if (rows === 0) throw new RangeError('evaluate: the stream holds no rows of activations');

  const whole = reconstruction.result();
  return {
    nLatents,
    dModel,
    tokens: rows,
    reconstruction: whole,
    sparsity: sparsity.result(),
    prefixes: lengths.map((length, p) => ({
      length,
      l0: activeBelow[p]! / rows,
      fvu: errors[p]! / rows / whole.variance,
    })),
    decoderSimilarity: selfSimilarity(decoder),
    forest: latentForest(pairs.result(), options.forest),
    latents: Array.from({ length: nLatents }, (_, latent) => ({
      histogram: histograms.histogram(latent),
      contexts: collector.contexts(latent),
      profile: profiles?.profile(latent) ?? [],
    })),
    ...(profileSet &&
      profiles && { labels: { name: profileSet.name, names: profileSet.names, base: profiles.base() } }),
    probes: sampler.samples().map((sample, s): LabelProbes => {
      const probes = denseProbes(sample);
      return {
        name: labelSets[s]!.name,
        names: labelSets[s]!.names,
        absorption: labelAbsorption({ sample, decoder, probes }),
        sparseProbing: sparseProbing(sample, { dense: probes }),
      };
    }),
  };
}

/** Adds, for every prefix, the active latents it holds. */
function countBelow(active: ActiveRows, lengths: readonly number[], counts: Float64Array): void {
  for (let at = 0, end = active.offsets[active.rows]!; at < end; at++) {
    const latent = active.indices[at]!;
    for (let p = lengths.length - 1; p >= 0 && latent < lengths[p]!; p--) counts[p]! += 1;
  }
}

/** Positions that count up by one only within a document. */
function readingOrder({ positions, docIds }: EvaluationBatch): ArrayLike<number> | undefined {
  if (!positions || !docIds) return positions;
  return Float64Array.from(positions, (position, row) => docIds[row]! * 2 ** 32 + position);
}

/** Σ‖x − x̂‖² over rows. */
function squaredError({ data }: Matrix, { data: rebuilt }: Matrix): number {
  let sum = 0;
  for (let at = 0; at < data.length; at++) sum += (data[at]! - rebuilt[at]!) ** 2;
  return sum;
}
