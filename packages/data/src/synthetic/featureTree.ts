/**
 * A tree of features that fire together by rule: the ground truth of the toy data in the Matryoshka SAE write-up by
 * Noa Nabeshima. A node is active when its parent is and a coin with its `active_prob` says so; under a node with
 * `mutually_exclusive_children` exactly one child is drawn by the children's probabilities instead. Nodes with
 * `is_read_out` are the features, numbered depth first.
 */
import { check, flag, givenBy, list, msaeError, number, object, optional, type Schema } from '@msae/schema';

export interface TreeNode {
  /** Probability of firing given that the parent fires; among mutually exclusive siblings, of being the one. */
  active_prob: number;
  /** Whether the node is a feature of the data (default) or only steers its children. */
  is_read_out?: boolean | undefined;
  /** Exactly one child fires when the node does. Their probabilities add up to 1. */
  mutually_exclusive_children?: boolean | undefined;
  /** Magnitude 1 (default), or uniform on [0, 1). */
  is_binary?: boolean | undefined;
  id?: string | number | undefined;
  children?: readonly TreeNode[] | undefined;
}

/** One node; its children are checked as they are reached. */
const node: Schema<TreeNode> = object<TreeNode>({
  active_prob: number({ min: 0, max: 1, help: 'probability of firing' }),
  is_read_out: optional(flag({ help: 'is it a feature of the data?' })),
  mutually_exclusive_children: optional(flag({ help: 'exactly one child fires' })),
  is_binary: optional(flag({ help: 'magnitude 1, or uniform on [0, 1)' })),
  id: optional(
    givenBy<string | number>(
      'text or a number',
      (value) => typeof value === 'string' || typeof value === 'number',
    ),
  ),
  children: optional(list(givenBy<TreeNode>('a node', () => true))),
});

/** Deeper trees are refused: validation and sampling recurse. */
const maxDepth = 64;

/** A node in depth-first order, with what sampling and evaluation need to know. */
export interface FlatNode {
  /** Column of the activations, or -1 when the node is not read out. */
  feature: number;
  /** Position of the parent in the flat tree; -1 for the root. */
  parent: number;
  probability: number;
  binary: boolean;
  exclusiveChildren: boolean;
  /** Positions of the children in the flat tree. */
  children: readonly number[];
  /** Position of the first node after this one's subtree. */
  end: number;
}

export interface FeatureTree {
  /** Depth first, root first. */
  readonly nodes: readonly FlatNode[];
  readonly nFeatures: number;
  /** [nFeatures] the nearest ancestor that is a feature, or -1. */
  readonly parentOf: readonly number[];
  /** [nFeatures] how often each feature fires: the product of the probabilities on its path. */
  readonly firingRate: readonly number[];
  /** Expected number of features that fire together. */
  readonly meanL0: number;
}

/**
 * Checks a tree (as parsed from JSON) and flattens it.
 *
 * @param name what error messages call it
 * @throws MsaeError `option` naming the path of the field and what was expected
 */
export function parseTree(tree: unknown, name = 'feature tree'): FeatureTree {
  if (depthOf(tree) > maxDepth) throw msaeError('option', `${name}: nested deeper than ${maxDepth} levels`);
  const nodes: FlatNode[] = [];
  const parentOf: number[] = [];
  const firingRate: number[] = [];
  flatten(tree, { parent: -1, feature: -1, rate: 1, path: '' });
  return {
    nodes,
    nFeatures: parentOf.length,
    parentOf,
    firingRate,
    meanL0: firingRate.reduce((sum, rate) => sum + rate, 0),
  };

  function flatten(
    given: unknown,
    above: { parent: number; feature: number; rate: number; path: string },
  ): number {
    const source = check(node, given, above.path === '' ? name : `${name}: ${above.path}`);
    const {
      active_prob: probability,
      children = [],
      mutually_exclusive_children: exclusive = false,
    } = source;
    if (exclusive) checkExclusive(children, above.path || 'the root', name);
    const index = nodes.length;
    const rate = above.rate * probability;
    const readOut = source.is_read_out ?? true;
    const feature = readOut ? parentOf.length : -1;
    if (readOut) {
      parentOf.push(above.feature);
      firingRate.push(rate);
    }
    const below = { parent: index, feature: readOut ? feature : above.feature, rate };
    const flat = {
      feature,
      parent: above.parent,
      probability,
      binary: source.is_binary ?? true,
      exclusiveChildren: exclusive,
      children: [] as number[],
      end: 0,
    };
    nodes.push(flat);
    flat.children = children.map((child, i) => {
      const path = `${above.path}${above.path && '.'}children.${i}`;
      return flatten(child, { ...below, path });
    });
    flat.end = nodes.length;
    return index;
  }
}

function checkExclusive(children: readonly TreeNode[], path: string, name: string): void {
  if (children.length < 2) {
    throw msaeError(
      'option',
      `${name}: ${path}: mutually_exclusive_children needs at least 2 children, got ${children.length}`,
    );
  }
  const sum = children.reduce((total, child) => total + child.active_prob, 0);
  if (Math.abs(sum - 1) > 1e-6) {
    throw msaeError(
      'option',
      `${name}: ${path}: the active_prob of mutually exclusive children must add up to 1, got ${sum}; add a child with is_read_out false for "none of them"`,
    );
  }
}

/** Depth of nested `children`, without recursion: the tree has not been checked yet. */
function depthOf(tree: unknown): number {
  let level: unknown[] = [tree];
  let depth = 0;
  while (level.length > 0 && depth <= maxDepth) {
    depth++;
    level = level.flatMap((item) => {
      const children = (item as { children?: unknown } | null | undefined)?.children;
      return Array.isArray(children) ? children : [];
    });
  }
  return depth;
}
