/** Encode to active lists in plain TypeScript: one row of pre-activations at a time, so [B, N] never exists. */
import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { EncodeActiveAttrs, EncodeActiveInputs, EncodeActiveOutputs } from './contract.ts';

export const cpuEncode: Implementation<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const arrays = cpuArrays(backend);
  const [rows, d] = inputs.x.shape as [number, number];
  const n = inputs.b_enc.shape[0]!;
  const input: EncodeArrays = {
    x: arrays.floats(inputs.x),
    W_enc: arrays.floats(inputs.W_enc),
    b_enc: arrays.floats(inputs.b_enc),
    b_dec: arrays.maybeFloats(inputs.b_dec),
    d,
    n,
  };
  const { rule, capacity } = attrs;
  const indices = new Int32Array(rows * capacity).fill(n);
  const values = new Float32Array(rows * capacity);
  const counts = new Int32Array(rows);
  const pre = new Float32Array(n);
  // what is compared: the same array where values are
  const score = attrs.score === 'value' ? pre : new Float32Array(n);
  const kept = rule === 'aboveThreshold' ? new Float32Array(rows * capacity) : undefined;
  const limit = rule === 'perRow' ? Math.min(attrs.keep, capacity) : capacity;
  const heap = new Float32Array(Math.max(1, limit));
  const dropped = new Float32Array(rule === 'perBatch' ? rows : 0);
  const threshold = arrays.maybeFloats(inputs.threshold);

  for (let row = 0; row < rows; row++) {
    preActivations(input, row, pre);
    if (score !== pre) for (let i = 0; i < n; i++) score[i] = Math.abs(pre[i]!);
    const poisoned = containsNaN(pre);
    const at = row * capacity;
    let count = 0;
    if (rule === 'aboveThreshold') {
      for (let i = 0; i < n; i++) {
        const t = threshold![i]!;
        if (!(score[i]! > Math.fround(t - attrs.margin))) continue;
        if (count < capacity) {
          indices[at + count] = i;
          kept![at + count] = pre[i]!;
          values[at + count] = score[i]! > t ? pre[i]! : 0;
        }
        count++;
      }
    } else if (rule === 'above') {
      for (let i = 0; i < n; i++) {
        if (!(score[i]! > attrs.cutoff)) continue;
        if (count < capacity) {
          indices[at + count] = i;
          values[at + count] = pre[i]!;
        }
        count++;
      }
    } else {
      const cut = cutOfLargest(score, n, limit, heap);
      let ties = cut.ties;
      for (let i = 0; i < n; i++) {
        const s = score[i]!;
        if (!(s > cut.value || (s === cut.value && s > 0 && ties-- > 0))) continue;
        indices[at + count] = i;
        values[at + count] = pre[i]!;
        count++;
      }
      if (rule === 'perBatch') dropped[row] = cut.next;
    }
    if (poisoned) {
      // a NaN is not above anything, but the loss has to show it
      if (count === 0) indices[at] = 0;
      count = Math.max(count, 1);
      values[at] = Number.NaN;
    }
    counts[row] = count;
  }
  const smallestKept =
    rule === 'perBatch'
      ? keepBatchLargest({ indices, values, counts, dropped }, { rows, n, capacity, keep: attrs.keep })
      : undefined;
  return {
    indices: arrays.make([rows, capacity], indices),
    values: arrays.make([rows, capacity], values),
    counts: arrays.make([rows], counts),
    ...(kept && { pre: arrays.make([rows, capacity], kept) }),
    ...(smallestKept !== undefined && { smallestKept: arrays.make([1], Float32Array.of(smallestKept)) }),
  };
};

interface EncodeArrays {
  readonly x: Float32Array;
  readonly W_enc: Float32Array;
  readonly b_enc: Float32Array;
  readonly b_dec: Float32Array | undefined;
  readonly d: number;
  readonly n: number;
}

/** pre = (x − b_dec) W_enc + b_enc of one row; row-major W_enc is walked row by row. */
function preActivations(input: EncodeArrays, row: number, pre: Float32Array): void {
  const { x, W_enc, b_enc, b_dec, d, n } = input;
  pre.set(b_enc);
  let j = 0;
  for (; j + 4 <= d; j += 4) {
    const o = row * d + j;
    const x0 = x[o]! - (b_dec === undefined ? 0 : b_dec[j]!);
    const x1 = x[o + 1]! - (b_dec === undefined ? 0 : b_dec[j + 1]!);
    const x2 = x[o + 2]! - (b_dec === undefined ? 0 : b_dec[j + 2]!);
    const x3 = x[o + 3]! - (b_dec === undefined ? 0 : b_dec[j + 3]!);
    const w0 = j * n;
    const w1 = w0 + n;
    const w2 = w1 + n;
    const w3 = w2 + n;
    for (let i = 0; i < n; i++) {
      pre[i] =
        pre[i]! + (x0 * W_enc[w0 + i]! + x1 * W_enc[w1 + i]! + x2 * W_enc[w2 + i]! + x3 * W_enc[w3 + i]!);
    }
  }
  for (; j < d; j++) {
    const xj = x[row * d + j]! - (b_dec === undefined ? 0 : b_dec[j]!);
    const w = j * n;
    for (let i = 0; i < n; i++) pre[i] = pre[i]! + xj * W_enc[w + i]!;
  }
}

function containsNaN(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0;
  return Number.isNaN(sum);
}

interface Cut {
  /** the smallest value among the k largest positive ones; 0 if fewer than k are positive */
  readonly value: number;
  /** how many entries equal to it belong to the k largest */
  readonly ties: number;
  /** the largest positive value that is left out; 0 if none */
  readonly next: number;
}

/** A min-heap of the k largest positive values. */
function cutOfLargest(pre: Float32Array, n: number, k: number, heap: Float32Array): Cut {
  let size = 0;
  let next = 0;
  for (let i = 0; i < n; i++) {
    const p = pre[i]!;
    if (!(p > 0)) continue;
    if (size < k) {
      let c = size++;
      while (c > 0) {
        const parent = (c - 1) >> 1;
        if (heap[parent]! <= p) break;
        heap[c] = heap[parent]!;
        c = parent;
      }
      heap[c] = p;
      continue;
    }
    if (p <= heap[0]!) {
      if (p > next) next = p;
      continue;
    }
    if (heap[0]! > next) next = heap[0]!;
    let c = 0;
    for (;;) {
      let child = 2 * c + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= p) break;
      heap[c] = heap[child]!;
      c = child;
    }
    heap[c] = p;
  }
  if (size < k || k === 0) return { value: 0, ties: 0, next };
  const value = heap[0]!;
  let ties = 0;
  for (let i = 0; i < size; i++) if (heap[i] === value) ties++;
  return { value, ties, next };
}

/** Cuts per-row lists down to the `keep` largest magnitudes of the batch (ties: row-major order); returns the smallest kept. */
function keepBatchLargest(
  lists: { indices: Int32Array; values: Float32Array; counts: Int32Array; dropped: Float32Array },
  size: { rows: number; n: number; capacity: number; keep: number },
): number {
  const { indices, values, counts, dropped } = lists;
  const { rows, n, capacity, keep } = size;
  let total = 0;
  for (let row = 0; row < rows; row++) total += counts[row]!;
  const all = new Float32Array(total);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < counts[row]!; i++) all[at++] = Math.abs(values[row * capacity + i]!);
  }
  all.sort();
  const cutoff = total === 0 ? 0 : total > keep ? all[total - keep]! : all[0]!;
  let ties = 0;
  for (let i = total - 1; i >= Math.max(0, total - keep) && all[i]! >= cutoff; i--)
    if (all[i] === cutoff) ties++;
  for (let row = 0; row < rows; row++) {
    const at = row * capacity;
    const before = counts[row]!;
    let count = 0;
    for (let i = 0; i < before; i++) {
      const value = values[at + i]!;
      const size = Math.abs(value);
      if (!(size > cutoff || (size === cutoff && ties-- > 0))) continue;
      values[at + count] = value;
      indices[at + count] = indices[at + i]!;
      count++;
    }
    values.fill(0, at + count, at + before);
    indices.fill(n, at + count, at + before);
    counts[row] = dropped[row]! > cutoff || (total < keep && dropped[row]! > 0) ? capacity + 1 : count;
  }
  return cutoff;
}
