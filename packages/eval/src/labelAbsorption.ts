/**
 * Splitting and absorption over all labels of a sample (SAEBench's absorption evaluation; labels here may be first letters, parts of
 * speech, …): a probe finds each label in x, k-sparse probes find the latents that stand for it, and `absorption` asks where they
 * stay silent.
 */
import { absorption } from './absorption.ts';
import type { ActiveRows } from './activeRows.ts';
import { type DenseProbe, denseProbes } from './denseProbes.ts';
import { fitLogistic, logisticScores } from './logistic.ts';
import type { Matrix } from './matrix.ts';
import {
  gatherLatents,
  gatherRows,
  meanDifference,
  type ProbeSample,
  type ProbeTask,
  probeTasks,
  scoreQuality,
  type TaskOptions,
} from './probeSample.ts';
import { fitSparseLogistic } from './sparseLogistic.ts';

export interface LabelAbsorptionOptions extends TaskOptions {
  readonly sample: ProbeSample;
  /** W_dec [N, d]. */
  readonly decoder: Matrix;
  /** Probes that are there already (`denseProbes` with the same options). */
  readonly probes?: ReadonlyMap<number, DenseProbe>;
  /** Labels whose probe has a lower F1 on held-out tokens are left out. Default 0.6. */
  readonly minProbeF1?: number;
  /** A further latent is a split of the label while it raises the k-sparse probe's F1 by more than this. Default 0.03. */
  readonly splitGain?: number;
  /** Largest k. Default 10. */
  readonly maxSplit?: number;
}

export interface LabelAbsorption {
  readonly label: number;
  readonly probeF1: number;
  /** The latents that stand for the label: 1 = not split. Empty when none tells it. */
  readonly latents: number[];
  /** F1 of the k-sparse probe for k = 1 … */
  readonly sparseF1: number[];
  readonly full: number;
  readonly fraction: number;
  readonly samples: number;
  readonly absorbers: { readonly latent: number; readonly tokens: number }[];
}

export interface LabelAbsorptionResult {
  /** Means over labels; NaN when no label qualified. */
  readonly full: number;
  readonly fraction: number;
  /** Mean number of latents a label is split over, SAEBench's num_split_features. */
  readonly splitLatents: number;
  readonly labels: LabelAbsorption[];
  /** Labels that had tokens enough but whose probe was too weak. */
  readonly unprobed: number;
}

/** Latents tried as candidates for a label: those with the greatest positive difference of means. */
const CANDIDATES = 64;

/** Absorption and splitting for every label with enough tokens and a good enough probe. */
export function labelAbsorption(options: LabelAbsorptionOptions): LabelAbsorptionResult {
  const { sample, decoder, minProbeF1 = 0.6 } = options;
  const probes = options.probes ?? denseProbes(sample, options);
  const labels: LabelAbsorption[] = [];
  let unprobed = 0;
  for (const task of probeTasks(sample, options)) {
    const probe = probes.get(task.label);
    if (!probe || !(probe.f1 > minProbeF1)) {
      unprobed += 1;
      continue;
    }
    const split = splitLatents(sample.active, task, options);
    // Training tokens count too: absorption counts silences, it fits nothing.
    const rows = probe.truePositives;
    const measured = absorption({
      probe: probe.model.weights,
      mainLatents: split.latents,
      decoder,
      x: gatherRows(sample.x, rows),
      active: pickRows(sample.active, rows),
    });
    labels.push({ label: task.label, probeF1: probe.f1, ...split, ...measured });
  }
  const mean = (of: (l: LabelAbsorption) => number) =>
    labels.reduce((sum, l) => sum + of(l), 0) / labels.length;
  return {
    full: mean((l) => l.full),
    fraction: mean((l) => l.fraction),
    splitLatents: mean((l) => l.latents.length),
    labels,
    unprobed,
  };
}

/** The latents over which one label is split: ranked by an L1 probe, added while the k-sparse probe's F1 gains. */
function splitLatents(
  active: ActiveRows,
  task: ProbeTask,
  options: LabelAbsorptionOptions,
): { latents: number[]; sparseF1: number[] } {
  const { splitGain = 0.03, maxSplit = 10 } = options;
  const difference = meanDifference(active, task.train);
  const candidates = Array.from(difference.keys())
    .filter((i) => difference[i]! > 0)
    .sort((a, b) => difference[b]! - difference[a]! || a - b)
    .slice(0, CANDIDATES);
  const train = gatherLatents(active, task.train.rows, candidates);
  const { weights } = fitSparseLogistic(scaled(train), task.train.positive, {
    tolerance: 1e-3,
    maxIterations: 300,
  });
  const ranked = candidates
    .map((latent, k) => ({ latent, weight: weights[k]! }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight || a.latent - b.latent)
    .slice(0, maxSplit)
    .map(({ latent }) => latent);
  const sparseF1: number[] = [];
  let best = 0;
  let kept = 0;
  for (let k = 1; k <= ranked.length; k++) {
    const latents = ranked.slice(0, k);
    const model = fitLogistic(gatherLatents(active, task.train.rows, latents), task.train.positive, {
      tolerance: 1e-6,
    });
    const { f1 } = scoreQuality(
      logisticScores(model, gatherLatents(active, task.test.rows, latents)),
      task.test.positive,
    );
    sparseF1.push(f1);
    if (k > 1 && !(f1 > best + splitGain)) break;
    best = f1;
    kept = k;
  }
  return { latents: ranked.slice(0, kept), sparseF1 };
}

/** One factor for all latents, so that the mean size of what is active is 1 and the L1 weight means the same at every scale of x. */
function scaled(m: Matrix): Matrix {
  const active = Array.from(m.data).filter((value) => value !== 0);
  const mean = active.reduce((sum, value) => sum + Math.abs(value), 0) / Math.max(1, active.length);
  return mean > 0 ? { ...m, data: Float64Array.from(m.data, (value) => value / mean) } : m;
}

function pickRows(active: ActiveRows, rows: Int32Array): ActiveRows {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, s) => {
    offsets[s + 1] = offsets[s]! + active.offsets[row + 1]! - active.offsets[row]!;
  });
  const indices = new Int32Array(offsets[rows.length]!);
  const values = new Float32Array(offsets[rows.length]!);
  rows.forEach((row, s) => {
    indices.set(active.indices.subarray(active.offsets[row]!, active.offsets[row + 1]!), offsets[s]!);
    values.set(active.values.subarray(active.offsets[row]!, active.offsets[row + 1]!), offsets[s]!);
  });
  return { rows: rows.length, nLatents: active.nLatents, offsets, indices, values };
}
