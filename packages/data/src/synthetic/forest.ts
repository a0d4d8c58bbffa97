/**
 * The forest of SynthSAEBench (Chanin et al., arXiv 2602.14687): equal trees whose features are numbered breadth first,
 * so that roots are the commonest features, and features outside any tree after them.
 */

export interface ForestShape {
  nFeatures: number;
  /** Trees; 0 for none. */
  roots: number;
  /** Children of every inner node. */
  branching: number;
  /** Levels below the roots. */
  depth: number;
}

/** [nFeatures] parent of each feature, -1 for roots and for features outside the trees. */
export function growForest({ nFeatures, roots, branching, depth }: ForestShape): number[] {
  const parentOf: number[] = new Array(Math.min(roots, nFeatures)).fill(-1);
  let level = parentOf.map((_, i) => i);
  for (let d = 0; d < depth; d++) {
    const next: number[] = [];
    for (const parent of level) {
      for (let c = 0; c < branching && parentOf.length < nFeatures; c++) {
        next.push(parentOf.length);
        parentOf.push(parent);
      }
    }
    level = next;
  }
  while (parentOf.length < nFeatures) parentOf.push(-1);
  return parentOf;
}

/** Children of each feature. */
export function childrenOf(parentOf: readonly number[]): number[][] {
  const children: number[][] = parentOf.map(() => []);
  parentOf.forEach((parent, feature) => {
    if (parent >= 0) children[parent]!.push(feature);
  });
  return children;
}

/** Firing rates by rank: 1 / rank^exponent, moved linearly onto [least, most]. */
export function zipfRates(n: number, exponent: number, least: number, most: number): Float64Array {
  const raw = Float64Array.from({ length: n }, (_, i) => (i + 1) ** -exponent);
  const last = raw[n - 1]!;
  const span = 1 - last || 1;
  return raw.map((value) => least + ((value - last) / span) * (most - least));
}

/**
 * The probability of a feature's own coin such that, with its parent's and its siblings' say, it fires at about
 * `rates`: divided by the parent's rate, and among mutually exclusive siblings times 1 + expected competitors.
 */
export function coinRates(
  rates: Float64Array,
  parentOf: readonly number[],
  exclusive: boolean,
): Float64Array {
  const children = childrenOf(parentOf);
  return rates.map((rate, feature) => {
    const parent = parentOf[feature]!;
    if (parent < 0) return rate;
    const above = rates[parent]!;
    const others = exclusive ? children[parent]!.reduce((sum, child) => sum + rates[child]!, 0) - rate : 0;
    return Math.min(1, (rate / above) * (1 + others / above));
  });
}
