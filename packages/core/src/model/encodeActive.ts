/** x → active lists, for training and inference. [B, N] exists only where a backend has no kernel of its own. */
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { activationTraits } from '../activations/table.ts';
import { backendTraits } from '../backendTraits.ts';
import { decodeActiveKernel } from '../kernels/decodeActive/contract.ts';
import {
  type EncodeActiveOutputs,
  encodeActiveAttrs,
  encodeActiveKernel,
} from '../kernels/encodeActive/contract.ts';
import { applyTransform } from '../transforms/table.ts';
import type { ActiveLatents } from './activeLatents.ts';
import { flat, rawInput, selectionOf } from './encode.ts';
import type { Sae } from './sae.ts';

export interface EncodeActiveOptions {
  /** A training batch: batchtopk takes the batch's largest instead of its running threshold. Default false. */
  training?: boolean;
  /** Width of the lists. Default: k for topk; for the others what the last batch of this SAE needed, grown when it does not suffice. */
  capacity?: number;
}

/** What a sparse step needs beyond {@link ActiveLatents}. */
export interface EncodedBatch extends ActiveLatents {
  /** [B, C], with thresholds: pre-activations of what is listed */
  readonly pre: tf.Tensor2D | undefined;
  /** [1], where the batch as a whole is cut: the smallest value kept */
  readonly smallestKept: tf.Tensor1D | undefined;
}

/** Width of the lists on a backend where nobody can look at the counts in time. A fuller row belongs to the dense path. */
const WIDE = 4096;

const INITIAL_CAPACITY = 128;

/** Capacities that sufficed, by an SAE's parameters: most lists have no width known beforehand. */
const capacities = new WeakMap<Sae['params'], number>();

/**
 * Encodes a batch to its active latents.
 *
 * @param x [B, d] raw activations
 * @throws MsaeError `unsupported` for an activation that leaves nothing inactive; `value` when `capacity` is given and does not
 * suffice (where the backend cannot look in time the row's values are NaN instead, and `readMetrics` says so);
 * `missing` for a batchtopk SAE without an inference threshold.
 */
export function encodeActive(sae: Sae, x: tf.Tensor, options: EncodeActiveOptions = {}): ActiveLatents {
  const rows = rawInput(sae, x);
  const z = tf.tidy(() => applyTransform(sae.transform.input, tf.clone(flat(rows))).z);
  try {
    const { pre, smallestKept, ...active } = encodeInside(sae, z, {
      ...options,
      training: options.training ?? false,
    });
    pre?.dispose();
    smallestKept?.dispose();
    return active;
  } finally {
    z.dispose();
  }
}

/** As {@link encodeActive} from z, what the weights see [B, d], keeping what the backward pass needs; `window`: entries just below a threshold too. */
export function encodeInside(
  sae: Sae,
  z: tf.Tensor2D,
  options: EncodeActiveOptions & { readonly training: boolean; readonly window?: boolean },
): EncodedBatch {
  const { config, params } = sae;
  const { nLatents: n } = config;
  const kept = selectionOf(sae, z.shape[0], options.training);
  if (kept === 'all') {
    throw msaeError(
      'unsupported',
      `encodeActive: with activation ${config.activation.kind} every latent is active; use encode()`,
    );
  }
  const selection = kept.rule === 'aboveThreshold' && !options.window ? { ...kept, margin: 0 } : kept;
  const inputs = {
    x: z,
    W_enc: params.W_enc,
    b_enc: params.b_enc,
    b_dec: config.applyBDecToInput ? params.b_dec : undefined,
    threshold: selection.rule === 'aboveThreshold' ? params.threshold : undefined,
  };
  const at = (capacity: number): EncodedBatch =>
    wrap(encodeActiveKernel.run(inputs, encodeActiveAttrs(selection, capacity)), capacity, n);
  // these lists cannot overflow, and their counts are never read back
  if (selection.rule === 'perRow') return at(selection.keep);
  // a row that is cut all the same is NaN
  if (!backendTraits().canReadSync) return at(Math.min(n, options.capacity ?? WIDE));
  const l0 = activationTraits(config.activation).fixedL0;
  const guess = l0 === undefined ? INITIAL_CAPACITY : Math.ceil(l0) * 4;
  let capacity = Math.min(n, options.capacity ?? capacities.get(params) ?? Math.max(32, guess));
  for (;;) {
    const batch = at(capacity);
    const needed = largest(batch.counts);
    if (needed <= capacity) {
      // lists that have become short (relu early in training is half dense) give their room back
      if (8 * needed < capacity) capacities.set(params, Math.max(INITIAL_CAPACITY, 2 * needed));
      return batch;
    }
    batch.dispose();
    batch.pre?.dispose();
    batch.smallestKept?.dispose();
    if (options.capacity !== undefined) {
      throw msaeError(
        'value',
        `encodeActive: a row has ${needed} active latents or more, but capacity is ${capacity}; raise it or leave it out`,
      );
    }
    capacity = Math.min(n, Math.max(2 * capacity, Math.ceil((needed * 1.25) / 32) * 32));
    capacities.set(params, capacity);
  }
}

/** Active lists → what the weights write, [B, d_out], before the transform is undone. */
export function decodeInside(sae: Sae, active: ActiveLatents): tf.Tensor2D {
  const { W_dec, b_dec } = sae.params;
  const { indices, values, counts, nLatents } = active;
  if (nLatents !== sae.config.nLatents) {
    throw msaeError(
      'shape',
      `decodeActive: the lists index ${nLatents} latents, this SAE has ${sae.config.nLatents}; encode with this SAE`,
    );
  }
  return decodeActiveKernel.run({ W_dec, b_dec, indices, values, counts }, {}).xHat;
}

function wrap(outputs: EncodeActiveOutputs, capacity: number, nLatents: number): EncodedBatch {
  const { indices, values, counts, pre, smallestKept } = outputs;
  return {
    indices,
    values,
    counts,
    pre,
    smallestKept,
    capacity,
    nLatents,
    dispose: () => tf.dispose([indices, values, counts]),
  };
}

/** Reads B integers: free on cpu and wasm. */
function largest(counts: tf.Tensor1D): number {
  let most = 0;
  for (const count of counts.dataSync()) if (count > most) most = count;
  return most;
}
