/** Pearson's χ² as a standard normal score (Wilson–Hilferty): above 4 is a chance of about 1 in 30,000. */
export function chiSquareScore(observed: readonly number[], expected: readonly number[]): number {
  let [chi, cells] = [0, 0];
  for (const [i, e] of expected.entries()) {
    if (e < 5) continue;
    chi += (observed[i]! - e) ** 2 / e;
    cells++;
  }
  const k = cells - 1;
  return ((chi / k) ** (1 / 3) - (1 - 2 / (9 * k))) / Math.sqrt(2 / (9 * k));
}
