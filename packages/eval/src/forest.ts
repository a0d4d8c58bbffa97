/**
 * The hierarchy of latents: a latent that fires (nearly) only where another, more general one fires is its child. With Matryoshka
 * prefixes the order of the latents says which is the more general; an edge i → j needs i < j. Each latent keeps its most specific
 * parent, so that chains (a clause, a relative clause, one after a name) stay chains.
 */
import type { Cooccurrence } from './cooccurrence.ts';

export interface ForestOptions {
  /** A parent fires on at least this share of its child's tokens: P(i | j). Default 0.6. */
  readonly minConditional?: number;
  /** And at least this many times as often as on any token: P(i | j) / P(i). Default 2. */
  readonly minLift?: number;
  /** Latents that fired on fewer tokens get no parent and no children: too little evidence. Default 20. */
  readonly minCount?: number;
  /**
   * What makes a latent the more general of two: `index` (Matryoshka: earlier latents sit in more prefixes) or `density` (fires more
   * often; for SAEs whose latents have no order). Default `index`.
   */
  readonly order?: 'index' | 'density';
}

export interface Edge {
  readonly parent: number;
  readonly child: number;
  /** P(parent active | child active). */
  readonly conditional: number;
  /** conditional / P(parent active). */
  readonly lift: number;
}

export interface Forest {
  /** The parent of every latent, -1 for a root, [N]. */
  readonly parent: Int32Array;
  /** P(parent | child) and lift of the kept edge, 0 for roots, [N]. */
  readonly conditional: Float64Array;
  readonly lift: Float64Array;
  /** Roots that have children, most descendants first. */
  readonly roots: number[];
  /** Edges kept, and the edges in the longest chain. */
  readonly edges: number;
  readonly depth: number;
  /** Share of latents that fired often enough which have a parent or a child. */
  readonly inTrees: number;
}

/** Every pair (general, specific) that passes the thresholds, in no particular order. */
export function hierarchyEdges(counts: Cooccurrence, options: ForestOptions = {}): Edge[] {
  const { minConditional = 0.6, minLift = 2, minCount = 20, order = 'index' } = options;
  const { fired, tokens } = counts;
  const edges: Edge[] = [];
  counts.forEachPair((i, j, count) => {
    if (fired[i]! < minCount || fired[j]! < minCount) return;
    // i < j, so both orders are total and no edges form a loop.
    const [parent, child] = order === 'index' || fired[i]! >= fired[j]! ? [i, j] : [j, i];
    // A child that fires more often than its parent explains it, not the other way round.
    if (fired[child]! > fired[parent]!) return;
    const conditional = count / fired[child]!;
    const lift = (conditional * tokens) / fired[parent]!;
    if (conditional >= minConditional && lift >= minLift) edges.push({ parent, child, conditional, lift });
  });
  return edges;
}

/** The forest of latents: of all edges that pass the thresholds each child keeps the one with the greatest lift. */
export function latentForest(counts: Cooccurrence, options: ForestOptions = {}): Forest {
  const n = counts.nLatents;
  const parent = new Int32Array(n).fill(-1);
  const conditional = new Float64Array(n);
  const lift = new Float64Array(n);
  for (const edge of hierarchyEdges(counts, options)) {
    const { child } = edge;
    const better =
      edge.lift > lift[child]! ||
      (edge.lift === lift[child]! && edge.parent < parent[child]!) ||
      parent[child] === -1;
    if (!better) continue;
    parent[child] = edge.parent;
    conditional[child] = edge.conditional;
    lift[child] = edge.lift;
  }
  const descendants = new Int32Array(n);
  let depth = 0;
  let edges = 0;
  for (let j = 0; j < n; j++) {
    if (parent[j]! >= 0) edges += 1;
    let level = 0;
    for (let at = parent[j]!; at >= 0; at = parent[at]!) {
      descendants[at]! += 1;
      level += 1;
    }
    depth = Math.max(depth, level);
  }
  const roots: number[] = [];
  let inTrees = 0;
  let alive = 0;
  for (let j = 0; j < n; j++) {
    if (counts.fired[j]! >= (options.minCount ?? 20)) alive += 1;
    if (parent[j] === -1 && descendants[j]! > 0) roots.push(j);
    if (parent[j] !== -1 || descendants[j]! > 0) inTrees += 1;
  }
  roots.sort((a, b) => descendants[b]! - descendants[a]! || a - b);
  return { parent, conditional, lift, roots, edges, depth, inTrees: alive > 0 ? inTrees / alive : 0 };
}
