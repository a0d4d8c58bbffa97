/** The labelled tokens that probes are trained and tested on, and how one-against-the-rest tasks are drawn from them. */
import { msaeError } from '@msae/schema';
import type { ActiveRows } from './activeRows.ts';
import { checkActiveRows } from './activeRows.ts';
import { checkMatrix, type Matrix } from './matrix.ts';

export interface ProbeSample {
  /** Model activations [S, d]. */
  readonly x: Matrix;
  /** The SAE's activations on the same tokens. */
  readonly active: ActiveRows;
  /** One label a token, below `nLabels`; negative = no label, the token is not used. */
  readonly labels: ArrayLike<number>;
  readonly nLabels: number;
}

/** A binary task: rows of the sample, whether each is positive; every fifth of either class is for testing. */
export interface ProbeTask {
  readonly label: number;
  readonly train: ProbeRows;
  readonly test: ProbeRows;
}

export interface ProbeRows {
  readonly rows: Int32Array;
  /** 1 = has the label. */
  readonly positive: Uint8Array;
}

export interface TaskOptions {
  /** Labels with fewer tokens are left out. Default 50. */
  readonly minPerLabel?: number;
  /** At most this many positives, taken at even spacing. Default 1,000. */
  readonly maxPerLabel?: number;
  /** Negatives for every positive, at even spacing over the other labels. Default 1 (balanced). */
  readonly negativesPerPositive?: number;
}

/** One task a label that occurs often enough. Deterministic. Throws an MsaeError when sizes disagree. */
export function probeTasks(sample: ProbeSample, options: TaskOptions = {}): ProbeTask[] {
  const { minPerLabel = 50, maxPerLabel = 1000, negativesPerPositive = 1 } = options;
  const { x, active, labels, nLabels } = sample;
  checkMatrix('probe sample: x', x, undefined, active.rows);
  checkActiveRows('probe sample', active, active.nLatents);
  if (labels.length !== active.rows) {
    throw msaeError('shape', `probe sample: ${labels.length} labels for ${active.rows} tokens`);
  }
  const byLabel: number[][] = Array.from({ length: nLabels }, () => []);
  for (let s = 0; s < labels.length; s++) {
    if (labels[s]! >= nLabels)
      throw msaeError('value', `probe sample: label ${labels[s]}; expected below ${nLabels}`);
    if (labels[s]! >= 0) byLabel[labels[s]!]!.push(s);
  }
  const tasks: ProbeTask[] = [];
  for (let label = 0; label < nLabels; label++) {
    const all = byLabel[label]!;
    if (all.length < minPerLabel) continue;
    const positives = evenly(all, maxPerLabel);
    const others = byLabel.flatMap((rows, other) => (other === label ? [] : rows)).sort((a, b) => a - b);
    const negatives = evenly(others, Math.round(positives.length * negativesPerPositive));
    if (negatives.length < 5) continue;
    const pick = (test: boolean): ProbeRows => {
      const chosen = (rows: number[]) => rows.filter((_, k) => (k % 5 === 4) === test);
      const [own, rest] = [chosen(positives), chosen(negatives)];
      const positive = new Uint8Array(own.length + rest.length);
      positive.fill(1, 0, own.length);
      return { rows: Int32Array.from([...own, ...rest]), positive };
    };
    tasks.push({ label, train: pick(false), test: pick(true) });
  }
  return tasks;
}

function evenly(rows: number[], most: number): number[] {
  if (rows.length <= most) return rows;
  return Array.from({ length: most }, (_, k) => rows[Math.floor((k * rows.length) / most)]!);
}

/** The chosen rows of a matrix, as float64. */
export function gatherRows(m: Matrix, rows: Int32Array): Matrix {
  const data = new Float64Array(rows.length * m.columns);
  rows.forEach((row, s) => {
    for (let k = 0; k < m.columns; k++) data[s * m.columns + k] = m.data[row * m.columns + k]!;
  });
  return { data, rows: rows.length, columns: m.columns };
}

/** Activations of the chosen latents on the chosen rows: [rows, latents]. */
export function gatherLatents(active: ActiveRows, rows: Int32Array, latents: ArrayLike<number>): Matrix {
  const columnOf = new Int32Array(active.nLatents).fill(-1);
  for (let k = 0; k < latents.length; k++) columnOf[latents[k]!] = k;
  const columns = latents.length;
  const data = new Float64Array(rows.length * columns);
  rows.forEach((row, s) => {
    for (let at = active.offsets[row]!; at < active.offsets[row + 1]!; at++) {
      const column = columnOf[active.indices[at]!]!;
      if (column >= 0) data[s * columns + column] = active.values[at]!;
    }
  });
  return { data, rows: rows.length, columns };
}

/** Mean activation over positives minus mean over negatives, for every latent [N]. */
export function meanDifference(active: ActiveRows, { rows, positive }: ProbeRows): Float64Array {
  const nPositive = positive.reduce((sum, p) => sum + p, 0);
  const difference = new Float64Array(active.nLatents);
  rows.forEach((row, s) => {
    const weight = positive[s] ? 1 / nPositive : -1 / (rows.length - nPositive);
    for (let at = active.offsets[row]!; at < active.offsets[row + 1]!; at++) {
      difference[active.indices[at]!]! += weight * active.values[at]!;
    }
  });
  return difference;
}

/** Accuracy and F1 of scores above 0 as predictions of the positive class. */
export function scoreQuality(scores: Float64Array, positive: Uint8Array): { accuracy: number; f1: number } {
  let [right, both, predicted, actual] = [0, 0, 0, 0];
  scores.forEach((score, s) => {
    const guess = score > 0;
    if (guess === (positive[s] === 1)) right += 1;
    if (guess) predicted += 1;
    if (positive[s]) actual += 1;
    if (guess && positive[s]) both += 1;
  });
  return {
    accuracy: right / scores.length,
    f1: predicted + actual > 0 ? (2 * both) / (predicted + actual) : 0,
  };
}
