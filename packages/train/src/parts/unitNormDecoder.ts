/** Decoder rows of norm 1: the gradient's part along a row is taken out before the update, the row renormalised after it. */
import { flag } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';

/** g − (g · ŵ) ŵ for every row; a new tensor [N, d]. */
export function projectDecoderGradient(grad: tf.Tensor2D, W_dec: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const along = tf.sum(tf.mul(grad, W_dec), 1, true);
    const squares = tf.sum(tf.square(W_dec), 1, true);
    return tf.sub(grad, tf.mul(W_dec, tf.divNoNan(along, squares)));
  });
}

/** Scales every row of W_dec to norm 1, in place; a row of zeros stays. */
export function normalizeDecoder(W_dec: tf.Variable): void {
  const unit = tf.tidy(() => {
    const norms = tf.sqrt(tf.sum(tf.square(W_dec), 1, true)); // [N, 1]
    // Divided here, not across [N, d]: wasm compares a broadcast column element by element, a hundred times slower.
    return tf.mul(W_dec, tf.divNoNan(tf.onesLike(norms), norms));
  });
  W_dec.assign(unit);
  unit.dispose();
}

export const unitNormDecoderPart: PartDefinition<boolean> = {
  name: 'unitNormDecoder',
  schema: flag({
    help: 'keep decoder rows at norm 1: gradients are projected, rows renormalised after each step',
  }),
  start: (on, { sae }) =>
    on
      ? {
          gradients({ gradients: { grads } }) {
            const raw = grads.W_dec as tf.Tensor2D;
            grads.W_dec = projectDecoderGradient(raw, sae.params.W_dec);
            raw.dispose();
            return undefined;
          },
          updated: () => normalizeDecoder(sae.params.W_dec),
        }
      : null,
};
