/**
 * TensorFlow scans a row for its top k at 4 ns a value, but takes maxima of groups with vector instructions. The k largest
 * values lie in the k groups with the largest maxima, so the scan is over N/group + k·group values instead of N.
 */

/** The power of two near √(N/k) that divides N, where scanning in groups pays; else 1. */
export function groupSize(nLatents: number, k: number): number {
  const ideal = Math.sqrt(nLatents / k);
  let group = 1;
  while (group * 2 <= ideal && nLatents % (group * 2) === 0) group *= 2;
  return group >= 4 ? group : 1;
}
