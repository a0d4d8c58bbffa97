/** Rows of a batch that are not longer than a limit, as stretches: a stretch is a batch like any other, at its own place in the stream. */
import type { EvaluationBatch } from './evaluationBatch.ts';

export interface Stretch {
  readonly batch: EvaluationBatch;
  /** Number of its first row in the batch it is of. */
  readonly from: number;
}

/** The stretches of rows with ‖x‖ ≤ `limit`, in order; the batch itself where there is no limit or nothing is longer. */
export function rowsWithin(batch: EvaluationBatch, limit: number | null): Stretch[] {
  const { data, rows, width } = batch;
  if (limit === null) return [{ batch, from: 0 }];
  const stretches: Stretch[] = [];
  let from = 0;
  for (let row = 0; row <= rows; row++) {
    if (row < rows && !isLonger(data, row * width, width, limit)) continue;
    if (row > from)
      stretches.push({ batch: from === 0 && row === rows ? batch : part(batch, from, row), from });
    from = row + 1;
  }
  return stretches;
}

function isLonger(data: Float32Array, at: number, width: number, limit: number): boolean {
  let squares = 0;
  for (let i = at; i < at + width; i++) squares += data[i]! * data[i]!;
  return squares > limit * limit;
}

function part(batch: EvaluationBatch, from: number, to: number): EvaluationBatch {
  const { data, rows, width, target, tokenIds, positions, docIds } = batch;
  const columns = target === undefined ? 0 : target.length / rows;
  return {
    data: data.subarray(from * width, to * width),
    rows: to - from,
    width,
    ...(target && { target: target.subarray(from * columns, to * columns) }),
    ...(tokenIds && { tokenIds: tokenIds.subarray(from, to) }),
    ...(positions && { positions: positions.subarray(from, to) }),
    ...(docIds && { docIds: docIds.subarray(from, to) }),
  };
}
