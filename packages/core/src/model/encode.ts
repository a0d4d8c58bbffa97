/**
 * From raw activations x to latents f: z = transform(x), pre = z W_enc + b_enc, f = activation(pre).
 *
 * Internally latents run along the rows ([N, B]): a block of latents is then a contiguous slice, and the dense step never
 * transposes or concatenates anything as large as f along its short axis.
 */
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import { activationDefinition } from '../activations/table.ts';
import { checkFits, checkTensor } from '../checks.ts';
import { type Code, denseCode, type Selection } from '../kernels/selection.ts';
import { column, matMulTN } from '../loss/linalg.ts';
import { applyTransform } from '../transforms/table.ts';
import type { Sae } from './sae.ts';
import type { Site } from './site.ts';

/** Options of {@link encode}. */
export interface EncodeOptions {
  /** A training batch: batchtopk chooses by the batch instead of by the inference threshold. Default false. */
  training?: boolean;
}

/**
 * Encodes a batch.
 *
 * @param x [B, d] raw activations, float32; where the site has heads also [B, heads, d_head]
 * @returns f [B, N]
 * @throws MsaeError `shape` for a wrong width, `device` for a result too large for it, `missing` for a batchtopk SAE that has no
 * inference threshold yet.
 */
export function encode(sae: Sae, x: tf.Tensor, { training = false }: EncodeOptions = {}): tf.Tensor2D {
  const rows = rawInput(sae, x);
  checkFits('latents', [sae.config.nLatents, x.shape[0]!]);
  return tf.tidy(() => {
    const { z } = applyTransform(sae.transform.input, flat(rows));
    const { f } = activate(sae, encoderInput(sae, tf.transpose(z)), training);
    return tf.transpose(f);
  });
}

/** What the encoder multiplies: z or z − b_dec, [d, B]. */
export function encoderInput(sae: Sae, zT: tf.Tensor2D): tf.Tensor2D {
  return sae.config.applyBDecToInput ? tf.sub(zT, column(sae.params.b_dec)) : zT;
}

/** pre = W_encᵀ zᵀ + b_enc and f = activation(pre), all [N, B]. Call it inside a tidy. */
export function activate(sae: Sae, zT: tf.Tensor2D, training: boolean): Code {
  const { W_enc, b_enc, threshold } = sae.params;
  const rows = zT.shape[1];
  return denseCode(selectionOf(sae, rows, training), {
    rows,
    nLatents: sae.config.nLatents,
    byLatent: () => tf.add(matMulTN(W_enc, zT), column(b_enc)),
    byRow: () => tf.add(tf.matMul(tf.transpose(zT), W_enc), b_enc),
    threshold: threshold && column(threshold),
  });
}

/** What this SAE's activation keeps of a batch of so many rows. */
export function selectionOf(sae: Sae, rows: number, training: boolean): Selection | 'all' {
  const { activation, nLatents } = sae.config;
  const inferenceThreshold = (): number => {
    if (sae.inferenceThreshold !== null) return sae.inferenceThreshold;
    throw msaeError(
      'missing',
      `encode: this ${activation.kind} SAE has no inference threshold yet; train it, set sae.inferenceThreshold, or pass { training: true }`,
    );
  };
  return activationDefinition(activation).select(activation, {
    rows,
    nLatents,
    training,
    inferenceThreshold,
  });
}

/** Raw activations of a site as rows. @throws MsaeError `shape` */
export function rawInput(sae: Sae, x: tf.Tensor, name = 'x', site: Site = sae.config.input): tf.Tensor {
  const { width, layout } = site;
  const heads =
    layout === 'heads' && x instanceof tf.Tensor && x.rank === 3 && x.shape[1]! * x.shape[2]! === width;
  if (heads) checkTensor(name, x, [null, x.shape[1]!, x.shape[2]!], '[batch, heads, d_head]');
  else
    checkTensor(
      name,
      x,
      [null, width],
      `[batch, d_model = ${width}]${layout === 'heads' ? ' or [batch, heads, d_head]' : ''}`,
    );
  return x;
}

/** Heads laid side by side. */
export function flat(x: tf.Tensor): tf.Tensor2D {
  return x.rank === 2 ? (x as tf.Tensor2D) : tf.reshape(x, [x.shape[0]!, -1]);
}
