/** Keeps every so-manieth token of a stream, with its activations and labels, for the probes. */
import type { ActiveRows } from './activeRows.ts';
import type { LabelSet } from './evaluationBatch.ts';
import type { Matrix } from './matrix.ts';
import type { ProbeSample } from './probeSample.ts';

export interface ProbeSampler {
  add(x: Matrix, active: ActiveRows, labels: readonly ArrayLike<number>[]): void;
  /** One sample a label set; none when nothing was kept. */
  samples(): ProbeSample[];
}

/** Samples about `probeTokens` rows: evenly over `totalRows` where that is known, else the first ones. */
export function probeSampler(options: {
  readonly width: number;
  readonly nLatents: number;
  readonly labelSets: readonly LabelSet[];
  readonly probeTokens: number;
  readonly totalRows: number | undefined;
}): ProbeSampler {
  const { width, nLatents, labelSets, probeTokens, totalRows } = options;
  const stride = totalRows === undefined ? 1 : Math.max(1, Math.floor(totalRows / Math.max(1, probeTokens)));
  const wanted = labelSets.length > 0 ? probeTokens : 0;
  const x = new Float32Array(wanted * width);
  const labels = labelSets.map(() => new Int32Array(wanted));
  const offsets = new Int32Array(wanted + 1);
  const indices: number[] = [];
  const values: number[] = [];
  let [seen, kept] = [0, 0];
  return {
    add(batch, active, batchLabels) {
      for (let r = 0; r < batch.rows; r++, seen++) {
        if (kept >= wanted || seen % stride !== 0) continue;
        for (let k = 0; k < width; k++) x[kept * width + k] = batch.data[r * width + k]!;
        for (let at = active.offsets[r]!; at < active.offsets[r + 1]!; at++) {
          indices.push(active.indices[at]!);
          values.push(active.values[at]!);
        }
        labels.forEach((own, set) => {
          own[kept] = batchLabels[set]![r]!;
        });
        kept += 1;
        offsets[kept] = indices.length;
      }
    },
    samples() {
      if (kept === 0) return [];
      const active: ActiveRows = {
        rows: kept,
        nLatents,
        offsets: offsets.slice(0, kept + 1),
        indices: Int32Array.from(indices),
        values: Float32Array.from(values),
      };
      return labelSets.map((set, s) => ({
        x: { data: x.subarray(0, kept * width), rows: kept, columns: width },
        active,
        labels: labels[s]!.subarray(0, kept),
        nLabels: set.names.length,
      }));
    },
  };
}
