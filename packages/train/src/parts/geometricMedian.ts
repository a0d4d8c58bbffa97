/**
 * The geometric median of rows (the point with the smallest sum of distances) by Weiszfeld's algorithm, in float64.
 * It is a robust start for b_dec: activations of the first tokens of a context can be 100 × longer than the rest.
 */
import { msaeError } from '@msae/schema';

/**
 * @param data [rows, width] row-major
 * @returns [width]
 */
export function geometricMedian(
  data: Float32Array,
  width: number,
  options: { maxIterations?: number; tolerance?: number } = {},
): Float32Array {
  const { maxIterations = 100, tolerance = 1e-6 } = options;
  const rows = data.length / width;
  if (!Number.isInteger(rows) || rows < 1) {
    throw msaeError(
      'shape',
      `geometricMedian: ${data.length} values are not a whole number of rows of width ${width}; pass at least one row`,
    );
  }
  let median = new Float64Array(width);
  for (let i = 0; i < data.length; i++) median[i % width]! += (data[i] as number) / rows;
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const next = new Float64Array(width);
    let weightSum = 0;
    for (let row = 0; row < rows; row++) {
      const offset = row * width;
      let squares = 0;
      for (let j = 0; j < width; j++) squares += ((data[offset + j] as number) - (median[j] as number)) ** 2;
      const weight = 1 / Math.max(Math.sqrt(squares), 1e-12);
      weightSum += weight;
      for (let j = 0; j < width; j++) next[j]! += weight * (data[offset + j] as number);
    }
    let moved = 0;
    let length = 0;
    for (let j = 0; j < width; j++) {
      next[j]! /= weightSum;
      moved += ((next[j] as number) - (median[j] as number)) ** 2;
      length += (next[j] as number) ** 2;
    }
    median = next;
    if (Math.sqrt(moved) <= tolerance * Math.max(Math.sqrt(length), 1e-12)) break;
  }
  return Float32Array.from(median);
}
