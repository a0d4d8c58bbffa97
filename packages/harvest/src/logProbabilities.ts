/** Cross-entropy and Kullback-Leibler divergence of next-token distributions, from logits. Nats, float64 sums. */

/** Softmax of one row of logits, kept for comparison with others. */
export interface Distribution {
  logits: Float32Array;
  probabilities: Float64Array;
  logNormalizer: number;
}

/** log Σ exp(logits), shifted by the maximum. */
export function logSumExp(logits: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  return max + Math.log(sum);
}

export function distribution(logits: Float32Array): Distribution {
  const logNormalizer = logSumExp(logits);
  const probabilities = new Float64Array(logits.length); // a loop: Float64Array.from is ten times slower
  for (let i = 0; i < logits.length; i++) probabilities[i] = Math.exp(logits[i]! - logNormalizer);
  return { logits, probabilities, logNormalizer };
}

/** −log p(target). */
export function crossEntropy(logits: Float32Array, logNormalizer: number, target: number): number {
  return logNormalizer - logits[target]!;
}

/** KL(p ‖ q) = Σ p (log p − log q). */
export function klDivergence(p: Distribution, logits: Float32Array, logNormalizer: number): number {
  let sum = 0;
  const { probabilities } = p;
  for (let i = 0; i < logits.length; i++) sum += probabilities[i]! * (p.logits[i]! - logits[i]!);
  return sum - p.logNormalizer + logNormalizer;
}
