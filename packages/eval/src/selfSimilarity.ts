import { checkMatrix, type Matrix, unitRows } from './matrix.ts';

/**
 * How alike a dictionary's own directions are: over rows, the greatest cosine with another row (self excluded), its mean and
 * maximum. Near 0 for a spread-out dictionary, near 1 where latents are duplicates (SAELens: average max decoder cosine).
 * O(N² d) time, O(N d) memory.
 */
export function selfSimilarity(dictionary: Matrix): { mean: number; max: number } {
  checkMatrix('selfSimilarity: dictionary', dictionary);
  const { rows: n, columns: width } = dictionary;
  if (n < 2) return { mean: 0, max: 0 };
  const unit = unitRows(dictionary);
  const best = new Float64Array(n).fill(-1);
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      let cosine = 0;
      for (let k = 0, p = i * width, q = j * width; k < width; k++) cosine += unit[p + k]! * unit[q + k]!;
      if (cosine > best[i]!) best[i] = cosine;
      if (cosine > best[j]!) best[j] = cosine;
    }
  }
  let sum = 0;
  let max = -1;
  for (const value of best) {
    sum += value;
    if (value > max) max = value;
  }
  return { mean: sum / n, max };
}
