/**
 * The write-up's toy data: x = activations · features, where a `FeatureTree` says which features fire together and the
 * features are orthonormal directions scaled by 1 + 0.05 · normal. No noise. The stream of rows depends on the seed
 * alone, not on how it is cut into batches.
 */

import type { Rng } from '@msae/sampler';
import { check, givenBy, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import { streamRng } from '../seed.ts';
import { type ActivationSource, checkBatches } from '../source.ts';
import { defaultTree } from './defaultTree.ts';
import { endlessSource } from './endlessSource.ts';
import { type FeatureTree, parseTree, type TreeNode } from './featureTree.ts';
import { randomOrthonormal } from './orthonormal.ts';

export interface ToyTreeOptions {
  /** Default: the write-up's tree of 20 features. */
  tree?: TreeNode;
  /** Dimensions of x; default (and least) the number of features. */
  dModel?: number;
  /** Seed of the features and of the samples; default 0. */
  seed?: number;
  /** Spread of the features' norms around 1; default 0.05. */
  normSpread?: number;
}

const schema: Schema<ToyTreeOptions> = object<ToyTreeOptions>({
  tree: optional(
    givenBy<TreeNode>('a tree of features', (value) => typeof value === 'object' && value !== null, {
      help: 'which features fire together',
    }),
  ),
  dModel: optional(whole({ min: 1, help: 'dimensions of x' })),
  seed: optional(whole({ help: 'of the features and the samples' }), 0),
  normSpread: optional(number({ min: 0, help: 'spread of the norms around 1' }), 0.05),
});

/** Samples with their ground truth. */
export interface LabelledSamples {
  /** [rows, dModel] */
  x: Float32Array;
  /** [rows, nFeatures] the true activations x was made of */
  activations: Float32Array;
  rows: number;
}

export interface LabelledSource extends ActivationSource {
  readonly nFeatures: number;
  /** [nFeatures, dModel] the true directions, with their norms */
  readonly features: Float32Array;
  /** [nFeatures] index of the feature's parent feature, or -1 */
  readonly parentOf: readonly number[];
  /** The next rows of the stream, with their ground truth. */
  sample(rows: number): LabelledSamples;
}

export interface ToyTree extends LabelledSource {
  readonly tree: FeatureTree;
}

/**
 * Makes the toy data, an endless source.
 *
 * @throws MsaeError `option` when the tree does not fit its schema, or dModel is less than the number of features
 */
export function toyTree(options: ToyTreeOptions = {}): ToyTree {
  const { seed = 0, normSpread = 0.05, ...given } = check(schema, options, 'toyTree');
  const tree = parseTree(given.tree ?? defaultTree);
  const { nFeatures } = tree;
  const dModel = given.dModel ?? nFeatures;
  if (nFeatures < 1)
    throw msaeError('option', 'feature tree: no node is read out; set is_read_out on at least one');
  if (dModel < nFeatures) {
    throw msaeError(
      'option',
      `dModel: ${nFeatures} orthogonal features need at least ${nFeatures} dimensions, got ${dModel}`,
    );
  }
  const features = scaledFeatures(nFeatures, dModel, normSpread, streamRng(seed, 1));
  const fill = treeSampler(tree);
  let rng = streamRng(seed, 2);

  const sample = (rows: number): LabelledSamples => {
    checkBatches({ batchSize: rows });
    const activations = new Float32Array(rows * nFeatures);
    const x = new Float32Array(rows * dModel);
    fill(activations, rows, rng);
    multiplySparse(activations, features, x, { rows, nFeatures, dModel });
    return { x, activations, rows };
  };

  return {
    nFeatures,
    features,
    parentOf: tree.parentOf,
    tree,
    sample,
    ...endlessSource({
      kind: 'toy-tree',
      name: 'toy tree',
      width: dModel,
      next: (rows) => sample(rows).x,
      rng: () => rng,
      setRng: (next) => {
        rng = next;
      },
    }),
  };
}

/** Orthonormal rows, each scaled by 1 + spread · normal. [nFeatures, dModel] */
function scaledFeatures(nFeatures: number, dModel: number, spread: number, rng: Rng): Float32Array {
  const q = randomOrthonormal(nFeatures, dModel, rng);
  for (let i = 0; i < nFeatures; i++) {
    const scale = 1 + spread * rng.normal();
    for (let k = 0; k < dModel; k++) q[i * dModel + k]! *= scale;
  }
  return Float32Array.from(q);
}

/**
 * A function that draws rows of activations. One walk over the flat tree per row; an inactive node skips its subtree.
 */
function treeSampler(tree: FeatureTree): (out: Float32Array, rows: number, rng: Rng) => void {
  const { nodes, nFeatures } = tree;
  return (out, rows, rng) => {
    const forced = new Int8Array(nodes.length); // per row: 1 chosen among exclusive siblings, -1 not chosen
    for (let row = 0; row < rows; row++) {
      for (let n = 0; n < nodes.length; ) {
        const node = nodes[n]!;
        const force = forced[n]!;
        forced[n] = 0;
        if (force === -1 || (force === 0 && rng.next() >= node.probability)) {
          n = node.end;
          continue;
        }
        if (node.feature >= 0) out[row * nFeatures + node.feature] = node.binary ? 1 : rng.next();
        if (node.exclusiveChildren) {
          let left = rng.next();
          let chosen = node.children.length - 1;
          for (let c = 0; c < node.children.length; c++) {
            left -= nodes[node.children[c]!]!.probability;
            if (left < 0) {
              chosen = c;
              break;
            }
          }
          node.children.forEach((child, c) => {
            forced[child] = c === chosen ? 1 : -1;
          });
        }
        n++;
      }
    }
  };
}

/** x += activations · features, skipping zeros. */
export function multiplySparse(
  activations: Float32Array,
  features: Float32Array,
  x: Float32Array,
  { rows, nFeatures, dModel }: { rows: number; nFeatures: number; dModel: number },
): void {
  for (let row = 0; row < rows; row++) {
    const base = row * dModel;
    for (let f = 0; f < nFeatures; f++) {
      const a = activations[row * nFeatures + f]!;
      if (a === 0) continue;
      const feature = f * dModel;
      for (let k = 0; k < dModel; k++) x[base + k]! += a * features[feature + k]!;
    }
  }
}
