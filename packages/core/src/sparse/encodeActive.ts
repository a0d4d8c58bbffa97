/** x → active lists, for training and inference. [B, N] exists only in the composed fallback. */
import * as tf from '@tensorflow/tfjs-core';
import { keptValues } from '../activation.ts';
import { checkTensor } from '../checks.ts';
import { inferenceThreshold } from '../encode.ts';
import type { Sae } from '../sae.ts';
import type { ActiveLatents } from './activeLatents.ts';
import { type EncodeActiveAttrs, KERNEL } from './contract.ts';
import { runKernel } from './runKernel.ts';

export interface EncodeActiveOptions {
  /** Whether this is a training batch: batchtopk then takes the batch's largest instead of its running threshold. Default false. */
  training?: boolean;
  /** Width of the lists. Default: k for topk; for the others what the last batch of this SAE needed, grown when it does not suffice. */
  capacity?: number;
}

/** What a sparse step needs beyond {@link ActiveLatents}. */
export interface EncodedBatch extends ActiveLatents {
  /** jumprelu: pre-activations of the listed latents [B, C]; batchtopk in training: the smallest kept value [1] */
  readonly extra: tf.Tensor | undefined;
}

/** Width of the lists on a backend where nobody can look at the counts in time. A fuller row belongs to the dense path. */
const WIDE = 4096;

const INITIAL_CAPACITY = 128;

/** Capacities that sufficed, by SAE: lists of relu, jumprelu and batchtopk have no width known beforehand. */
const capacities = new WeakMap<Sae, number>();

/**
 * Encodes a batch to its active latents.
 *
 * @param x [B, d]
 * @throws RangeError for the identity activation (every latent is active), or when `capacity` is given and does not
 * suffice (on webgpu the row's values are NaN instead, and `readMetrics` says so);
 * Error for a batchtopk SAE without an inference threshold.
 */
export function encodeActive(sae: Sae, x: tf.Tensor2D, options: EncodeActiveOptions = {}): ActiveLatents {
  const { training = false } = options;
  checkTensor('x', x, [null, sae.config.dModel], `[rows, ${sae.config.dModel}]`);
  const { extra, ...active } = encodeBatch(sae, x, { ...options, training, margin: 0 });
  extra?.dispose();
  return active;
}

/** As {@link encodeActive}, keeping what the backward pass needs. `margin` widens jumprelu's lists below the threshold. */
export function encodeBatch(
  sae: Sae,
  x: tf.Tensor2D,
  options: EncodeActiveOptions & { training: boolean; margin: number },
): EncodedBatch {
  const { config, params } = sae;
  const { activation, nLatents: n } = config;
  const rows = x.shape[0];
  const inputs = {
    x,
    W_enc: params.W_enc,
    b_enc: params.b_enc,
    b_dec: config.applyBDecToInput ? params.b_dec : undefined,
    threshold: params.threshold,
  };
  const attrs: EncodeActiveAttrs = { mode: 'relu', keep: 0, capacity: 0, cutoff: 0, margin: options.margin };
  switch (activation.kind) {
    case 'identity':
      throw new RangeError('encodeActive: with the identity activation every latent is active; use encode()');
    case 'topk':
      attrs.mode = 'topk';
      attrs.keep = activation.k;
      break;
    case 'batchtopk':
      if (options.training) {
        attrs.mode = 'batchtopk';
        attrs.keep = keptValues(activation, rows, n);
      } else {
        attrs.cutoff = inferenceThreshold(sae);
      }
      break;
    case 'jumprelu':
      attrs.mode = 'jumprelu';
      break;
    case 'relu':
      break;
  }
  if (activation.kind === 'topk') {
    attrs.capacity = activation.k;
    return wrap(runKernel(KERNEL.encodeActive, inputs, attrs), attrs.capacity, n);
  }
  const guess = activation.kind === 'batchtopk' ? Math.ceil(activation.k) * 4 : INITIAL_CAPACITY;
  attrs.capacity = Math.min(n, options.capacity ?? capacities.get(sae) ?? Math.max(32, guess));
  if (tf.getBackend() === 'webgpu') {
    // Its counts cannot be read before the step goes on, so the lists are wide; a row that is cut all the same is NaN.
    attrs.capacity = Math.min(n, options.capacity ?? WIDE);
    return wrap(runKernel(KERNEL.encodeActive, inputs, attrs), attrs.capacity, n);
  }
  for (;;) {
    const batch = wrap(runKernel(KERNEL.encodeActive, inputs, attrs), attrs.capacity, n);
    const needed = largest(batch.counts);
    if (needed <= attrs.capacity) {
      // lists that have become short (relu early in training is half dense) give their room back
      if (8 * needed < attrs.capacity) capacities.set(sae, Math.max(INITIAL_CAPACITY, 2 * needed));
      return batch;
    }
    batch.dispose();
    batch.extra?.dispose();
    if (options.capacity !== undefined) {
      throw new RangeError(
        `encodeActive: a row has ${needed} active latents or more, but capacity is ${attrs.capacity}; raise it or leave it out`,
      );
    }
    attrs.capacity = Math.min(n, Math.max(2 * attrs.capacity, Math.ceil((needed * 1.25) / 32) * 32));
    capacities.set(sae, attrs.capacity);
  }
}

function wrap(outputs: tf.Tensor[], capacity: number, nLatents: number): EncodedBatch {
  const [indices, values, counts, extra] = outputs as [
    tf.Tensor2D,
    tf.Tensor2D,
    tf.Tensor1D,
    tf.Tensor | undefined,
  ];
  return {
    indices,
    values,
    counts,
    extra,
    capacity,
    nLatents,
    dispose: () => tf.dispose([indices, values, counts]),
  };
}

/** Reads B integers: free on cpu and wasm; topk, whose lists cannot overflow, never comes here. */
function largest(counts: tf.Tensor1D): number {
  let most = 0;
  for (const count of counts.dataSync()) if (count > most) most = count;
  return most;
}
