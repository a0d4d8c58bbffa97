/**
 * k-sparse probing (Gurnee et al. 2023, as in SAEBench): how well do the k latents with the greatest difference of means tell a
 * label? Logistic regression on those k activations, accuracy on held-out tokens of a balanced task.
 */
import { type DenseProbe, denseProbes } from './denseProbes.ts';
import { fitLogistic, logisticScores } from './logistic.ts';
import {
  gatherLatents,
  meanDifference,
  type ProbeSample,
  probeTasks,
  scoreQuality,
  type TaskOptions,
} from './probeSample.ts';

export interface SparseProbingResult {
  /** Accuracy for each k, averaged over labels. */
  readonly accuracy: { readonly k: number; readonly mean: number }[];
  /** The same with a probe on the whole activation x: what there is to find. Absent with `dense: false`. */
  readonly denseAccuracy?: number;
  readonly perLabel: {
    readonly label: number;
    readonly accuracy: number[];
    readonly dense?: number;
    /** The most telling latents, in order. */
    readonly latents: number[];
  }[];
}

export interface SparseProbingOptions extends TaskOptions {
  /** Default [1, 2, 5]. */
  readonly ks?: readonly number[];
  /** Also probe x itself. Default true; probes that are there already (`denseProbes` with the same options) are used again. */
  readonly dense?: boolean | ReadonlyMap<number, DenseProbe>;
}

/** k-sparse probing over every label with enough tokens. */
export function sparseProbing(sample: ProbeSample, options: SparseProbingOptions = {}): SparseProbingResult {
  const { ks = [1, 2, 5], dense = true } = options;
  const probes = dense === true ? denseProbes(sample, options) : dense === false ? undefined : dense;
  const perLabel = probeTasks(sample, options).map(({ label, train, test }) => {
    const difference = meanDifference(sample.active, train);
    const ranked = Array.from(difference.keys()).sort(
      (a, b) => Math.abs(difference[b]!) - Math.abs(difference[a]!) || a - b,
    );
    const accuracy = ks.map((k) => {
      const latents = ranked.slice(0, k);
      const model = fitLogistic(gatherLatents(sample.active, train.rows, latents), train.positive);
      return scoreQuality(
        logisticScores(model, gatherLatents(sample.active, test.rows, latents)),
        test.positive,
      ).accuracy;
    });
    const result = { label, accuracy, latents: ranked.slice(0, Math.max(...ks)) };
    const probe = probes?.get(label);
    return probe ? { ...result, dense: probe.accuracy } : result;
  });
  const mean = (of: (entry: (typeof perLabel)[number]) => number) =>
    perLabel.reduce((sum, entry) => sum + of(entry), 0) / perLabel.length;
  const summary = {
    accuracy: ks.map((k, at) => ({ k, mean: mean((entry) => entry.accuracy[at]!) })),
    perLabel,
  };
  return probes
    ? { ...summary, denseAccuracy: mean((entry) => ('dense' in entry ? entry.dense : Number.NaN)) }
    : summary;
}
