/** Comparison of numbers by the worst error relative to the largest magnitude expected: what all tests of msae use. */
import type { Tensor } from '@tensorflow/tfjs-core';

/** Nested or flat numbers. */
export type Numbers = number | ArrayLike<number> | readonly Numbers[];

/** Nested arrays, typed arrays and numbers as one flat array. */
export function flatten(values: Numbers): number[] {
  if (typeof values === 'number') return [values];
  const out: number[] = [];
  for (const value of Array.from(values as ArrayLike<Numbers>)) {
    if (typeof value === 'number') out.push(value);
    else out.push(...flatten(value));
  }
  return out;
}

/**
 * The largest |actual − expected| over the largest |expected| (over 1 if everything expected is 0). NaN or a different
 * count gives Infinity.
 */
export function worstError(actual: Numbers, expected: Numbers): number {
  const [a, e] = [flatten(actual), flatten(expected)];
  if (a.length !== e.length) return Number.POSITIVE_INFINITY;
  let [worst, largest] = [0, 0];
  for (let i = 0; i < e.length; i++) {
    largest = Math.max(largest, Math.abs(e[i]!));
    const error = Math.abs(a[i]! - e[i]!);
    worst = error >= 0 ? Math.max(worst, error) : Number.POSITIVE_INFINITY;
  }
  return worst / (largest || 1);
}

/**
 * Throws unless `actual` is close to `expected` (see {@link worstError}).
 *
 * @param options.tolerance default 1e-4
 * @throws Error that gives the worst error, the tolerance and the name.
 */
export async function toBeAllClose(
  actual: Tensor | Numbers,
  expected: Tensor | Numbers,
  { tolerance = 1e-4, name = 'values' }: { tolerance?: number; name?: string } = {},
): Promise<void> {
  const error = worstError(await numbers(actual), await numbers(expected));
  if (!(error <= tolerance)) {
    throw new Error(
      `${name}: worst error ${error.toExponential(2)} relative to the largest magnitude, allowed ${tolerance}`,
    );
  }
}

async function numbers(values: Tensor | Numbers): Promise<Numbers> {
  return typeof values === 'object' && 'dataId' in values
    ? await (values as Tensor).data()
    : (values as Numbers);
}
