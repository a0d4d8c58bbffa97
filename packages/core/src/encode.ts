/**
 * From activations x to latents f and back: pre = x W_enc + b_enc, f = activation(pre), x̂_p = b_dec + Σ_{i<p} f_i d_i.
 *
 * Internally latents run along the rows ([N, B]): a block of latents is then a contiguous slice, and the dense step never
 * transposes or concatenates anything as large as f along its short axis.
 */
import { checkPrefixes } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { keptValues } from './activation.ts';
import { checkFits, checkTensor } from './checks.ts';
import { column, matMulTN, rows } from './linalg.ts';
import type { Sae } from './sae.ts';

/** Options of {@link encode}. */
export interface EncodeOptions {
  /** batchtopk: choose by the batch, as in training, instead of by the inference threshold. Default false. */
  training?: boolean;
}

/**
 * Encodes a batch.
 *
 * @param x [B, d], float32
 * @returns f [B, N]
 * @throws RangeError for a wrong width or a result too large for the device; Error for a batchtopk SAE that has no
 * inference threshold yet.
 */
export function encode(sae: Sae, x: tf.Tensor2D, { training = false }: EncodeOptions = {}): tf.Tensor2D {
  checkInput(sae, x);
  return tf.tidy(() => {
    const { f } = activate(sae, encoderInput(sae, tf.transpose(x)), training);
    return tf.transpose(f);
  });
}

/**
 * Decodes latents with all of the dictionary: x̂ = b_dec + f W_dec.
 *
 * @param f [B, N]
 * @returns x̂ [B, d]
 */
export function decode(sae: Sae, f: tf.Tensor2D): tf.Tensor2D {
  checkLatentsInput(sae, f);
  return tf.tidy(() => tf.add(tf.matMul(f, sae.params.W_dec), sae.params.b_dec));
}

/**
 * Decodes every prefix: each block of latents is multiplied once and the results are summed up, no prefix is decoded twice.
 *
 * @param f [B, N]
 * @param lengths strictly increasing, from 0 to N
 * @returns one x̂_p [B, d] for each length; they are the caller's to dispose
 */
export function decodePrefixes(sae: Sae, f: tf.Tensor2D, lengths: ArrayLike<number>): tf.Tensor2D[] {
  checkLatentsInput(sae, f);
  const N = sae.config.nLatents;
  const all = Array.from(lengths);
  checkPrefixes(
    all.at(-1) === N
      ? { lengths: all, weights: all.map(() => 1) }
      : { lengths: [...all, N], weights: [...all, N].map(() => 1) },
    N,
  );
  const { W_dec, b_dec } = sae.params;
  return tf.tidy(() => {
    const out: tf.Tensor2D[] = [];
    let xHat: tf.Tensor2D = tf.add(tf.zeros([f.shape[0], sae.config.dModel]), b_dec);
    let from = 0;
    for (const to of all) {
      if (to > from) {
        const block = tf.slice(f, [0, from], [f.shape[0], to - from]);
        xHat = tf.add(xHat, tf.matMul(block, rows(W_dec, from, to)));
      }
      out.push(xHat === out.at(-1) ? tf.clone(xHat) : xHat);
      from = to;
    }
    return out;
  });
}

/** f and where it passes a gradient on, latents along the rows. */
export interface Code {
  /** [N, B] */
  f: tf.Tensor2D;
  /** [N, B], 1 where ∂f/∂pre = 1 and 0 elsewhere; undefined where it is 1 everywhere */
  gate?: tf.Tensor2D;
  /** [N, B], only kept for jumprelu */
  pre?: tf.Tensor2D;
}

/** What the encoder sees: x or x − b_dec, [d, B]. */
export function encoderInput(sae: Sae, xT: tf.Tensor2D): tf.Tensor2D {
  return sae.config.applyBDecToInput ? tf.sub(xT, column(sae.params.b_dec)) : xT;
}

/** pre = W_encᵀ xᵀ + b_enc and f = activation(pre), all [N, B]. Call it inside a tidy. */
export function activate(sae: Sae, xT: tf.Tensor2D, training: boolean): Code {
  const { activation, nLatents: N } = sae.config;
  const { W_enc, b_enc, threshold } = sae.params;
  const B = xT.shape[1];
  const preactivations = (): tf.Tensor2D => tf.add(matMulTN(W_enc, xT), column(b_enc));
  switch (activation.kind) {
    case 'identity':
      return { f: preactivations() };
    case 'relu': {
      const f = tf.relu(preactivations());
      return { f, gate: tf.step<tf.Tensor2D>(f) };
    }
    case 'jumprelu': {
      const pre = preactivations();
      const gate: tf.Tensor2D = tf.step(tf.sub(pre, column(threshold!)));
      return { f: tf.mul(pre, gate), gate, pre };
    }
    case 'topk': {
      // By rows of [B, N]; the kept values then go straight to their places in [N, B].
      const pre: tf.Tensor2D = tf.add(tf.matMul(tf.transpose(xT), W_enc), b_enc);
      const { values, indices } = tf.topk(pre, activation.k);
      const row = tf.reshape(tf.range(0, B, 1, 'int32'), [B, 1]);
      return scattered(values, tf.add(tf.mul(indices, tf.scalar(B, 'int32')), row), N, B);
    }
    case 'batchtopk': {
      const pre = preactivations();
      if (!training) {
        const gate: tf.Tensor2D = tf.step(tf.sub(pre, inferenceThreshold(sae)));
        return { f: tf.mul(pre, gate), gate };
      }
      const { values, indices } = tf.topk(tf.reshape(pre, [N * B]), keptValues(activation, B, N));
      return scattered(values, indices, N, B);
    }
  }
}

/** Kept values, relu'd, at their flat places in [N, B]; zeros elsewhere. Exactly as many as were kept, even with ties. */
function scattered(values: tf.Tensor, at: tf.Tensor, N: number, B: number): Code {
  const kept = tf.relu(tf.reshape(values, [values.size]));
  const f = tf.reshape(tf.scatterND(tf.reshape(at, [at.size, 1]), kept, [N * B]), [N, B]) as tf.Tensor2D;
  return { f, gate: tf.step<tf.Tensor2D>(f) };
}

/** @throws Error if a batchtopk SAE has no inference threshold yet. */
export function inferenceThreshold(sae: Sae): number {
  if (sae.inferenceThreshold === null) {
    throw new Error(
      'encode: this batchtopk SAE has no inference threshold yet; train it, set sae.inferenceThreshold, or pass { training: true }',
    );
  }
  // Below 0 it would let negative pre-activations through.
  return Math.max(0, sae.inferenceThreshold);
}

/** @throws RangeError or TypeError unless x is a float32 [B, d] whose latents fit the device. */
export function checkInput(sae: Sae, x: tf.Tensor2D): void {
  const { dModel, nLatents } = sae.config;
  checkTensor('x', x, [null, dModel], `[batch, d_model = ${dModel}]`);
  checkFits('latents', [nLatents, x.shape[0]]);
}

function checkLatentsInput(sae: Sae, f: tf.Tensor2D): void {
  checkTensor('f', f, [null, sae.config.nLatents], `[batch, n_latents = ${sae.config.nLatents}]`);
}
