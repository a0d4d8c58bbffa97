/** How much of a language model's work survives when a reconstruction takes the place of its activations. */

/** Mean loss in nats a token under four conditions; what `splice` of @msae/harvest measures. */
export interface SplicedLosses {
  readonly clean: number;
  readonly reconstructed: number;
  readonly zeroAblated: number;
  readonly meanAblated?: number;
}

export interface Recovered {
  /** (zero − reconstructed) / (zero − clean): 1 is perfect, 0 no better than zeros (SAELens, SAEBench, dictionary_learning). */
  readonly overZero: number;
  /** The same against mean ablation, the harder baseline. */
  readonly overMean?: number;
}

/** Cross-entropy recovered. NaN where ablation does no harm. Throws a RangeError when a loss is not finite. */
export function ceRecovered(losses: SplicedLosses): Recovered {
  for (const [name, value] of Object.entries(losses)) {
    if (!Number.isFinite(value))
      throw new RangeError(`ceRecovered: ${name} is ${value}; expected a finite loss`);
  }
  const over = (ablated: number) => (ablated - losses.reconstructed) / (ablated - losses.clean);
  const overZero = over(losses.zeroAblated);
  return losses.meanAblated === undefined ? { overZero } : { overZero, overMean: over(losses.meanAblated) };
}

/** KL recovered: 1 − KL(clean ‖ reconstructed) / KL(clean ‖ ablated). */
export function klRecovered(divergences: {
  readonly reconstructed: number;
  readonly ablated: number;
}): number {
  return (divergences.ablated - divergences.reconstructed) / divergences.ablated;
}
