/** From latents back to raw activations: ŷ_p = undo(b_dec + Σ_{i<p} f_i d_i), plus x·skip where there is a skip connection. */

import { checkPrefixes } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { checkTensor } from '../checks.ts';
import { rows } from '../loss/linalg.ts';
import { applyTransform, dependsOnRow } from '../transforms/table.ts';
import type { ActiveLatents } from './activeLatents.ts';
import { type EncodeOptions, encode, flat, rawInput, selectionOf } from './encode.ts';
import { decodeInside, encodeActive } from './encodeActive.ts';
import { isAutoencoder, type Sae } from './sae.ts';

/** Options of {@link decode} and its kin. */
export interface DecodeOptions {
  /**
   * [B, d] the raw activations that were encoded. Needed where the way back depends on the row: a transform such as layer norm,
   * or a skip connection.
   */
  x?: tf.Tensor;
}

/**
 * Decodes latents with all of the dictionary.
 *
 * @param f [B, N]
 * @returns ŷ [B, d_out], raw
 * @throws MsaeError `shape`; `missing` where x is needed and not given
 */
export function decode(sae: Sae, f: tf.Tensor2D, options: DecodeOptions = {}): tf.Tensor2D {
  checkLatentsInput(sae, f);
  const back = wayBack(sae, f.shape[0], options);
  return tf.tidy(() => back(tf.add(tf.matMul(f, sae.params.W_dec), sae.params.b_dec)));
}

/**
 * Decodes every prefix: each block of latents is multiplied once and the results are summed up, no prefix is decoded twice.
 *
 * @param f [B, N]
 * @param lengths strictly increasing, from 0 to N
 * @returns one ŷ_p [B, d_out] for each length; they are the caller's to dispose
 */
export function decodePrefixes(
  sae: Sae,
  f: tf.Tensor2D,
  lengths: ArrayLike<number>,
  options: DecodeOptions = {},
): tf.Tensor2D[] {
  checkLatentsInput(sae, f);
  const N = sae.config.nLatents;
  const all = Array.from(lengths);
  const complete = all.at(-1) === N ? all : [...all, N];
  checkPrefixes({ lengths: complete, weights: complete.map(() => 1) }, N);
  const { W_dec, b_dec } = sae.params;
  const back = wayBack(sae, f.shape[0], options);
  return tf.tidy(() => {
    const inside: tf.Tensor2D[] = [];
    let yHat: tf.Tensor2D = tf.add(tf.zeros([f.shape[0], b_dec.shape[0]]), b_dec);
    let from = 0;
    for (const to of all) {
      if (to > from) {
        const block = tf.slice(f, [0, from], [f.shape[0], to - from]);
        yHat = tf.add(yHat, tf.matMul(block, rows(W_dec, from, to)));
      }
      inside.push(yHat === inside.at(-1) ? tf.clone(yHat) : yHat);
      from = to;
    }
    return inside.map(back);
  });
}

/**
 * Reconstructs a batch from its active latents, at the cost of the active entries alone.
 *
 * @returns ŷ [B, d_out], raw
 * @throws MsaeError `shape` if the lists come from an SAE with another number of latents; `missing` where x is needed
 */
export function decodeActive(sae: Sae, active: ActiveLatents, options: DecodeOptions = {}): tf.Tensor2D {
  const back = wayBack(sae, active.indices.shape[0], options);
  return tf.tidy(() => back(decodeInside(sae, active)));
}

/**
 * From raw activations to raw reconstructions, through active lists where the activation keeps few latents and the backend has
 * kernels for them, else densely.
 *
 * @param x [B, d] raw
 * @returns ŷ [B, d_out], raw
 * @throws MsaeError as `encode`
 */
export function reconstruct(sae: Sae, x: tf.Tensor, options: EncodeOptions = {}): tf.Tensor2D {
  const rowsOfX = rawInput(sae, x);
  if (selectionOf(sae, x.shape[0]!, options.training ?? false) === 'all') {
    return tf.tidy(() => decode(sae, encode(sae, rowsOfX, options), { x: rowsOfX }));
  }
  const active = encodeActive(sae, rowsOfX, options);
  try {
    return decodeActive(sae, active, { x: rowsOfX });
  } finally {
    active.dispose();
  }
}

/** From what the weights write to raw outputs of the same rows. */
function wayBack(sae: Sae, batch: number, { x }: DecodeOptions): (inside: tf.Tensor) => tf.Tensor2D {
  const { transform, skip, config } = sae;
  const needed = skip !== null || dependsOnRow(transform.output);
  if (x !== undefined) {
    const given = rawInput(sae, x);
    if (given.shape[0] !== batch) {
      throw msaeError(
        'shape',
        `decode: x has ${given.shape[0]} rows, the latents have ${batch}; give the x they were encoded from`,
      );
    }
  } else if (needed) {
    const why =
      skip === null
        ? `its transform (${transform.output.map(({ kind }) => kind).join(', ')})`
        : 'its skip connection';
    throw msaeError(
      'missing',
      `decode: ${why} depends on the row; pass { x }, the activations that were encoded`,
    );
  }
  return (inside) => {
    const like =
      dependsOnRow(transform.output) && isAutoencoder(config) ? flat(x!) : tf.zeros([1, inside.shape[1]!]);
    const output = applyTransform(transform.output, like as tf.Tensor2D).undo(inside);
    return (skip === null ? output : tf.add(output, tf.matMul(flat(x!), skip))) as tf.Tensor2D;
  };
}

function checkLatentsInput(sae: Sae, f: tf.Tensor2D): void {
  checkTensor('f', f, [null, sae.config.nLatents], `[batch, n_latents = ${sae.config.nLatents}]`);
}
