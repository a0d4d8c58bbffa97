/**
 * What some SAEs do to an activation before encoding and undo after decoding. Constant factors are folded into the
 * weights when a checkpoint is read; what depends on the row cannot be and lives here. Formulas: SAELens
 * `SAE._setup_activation_normalization`, OpenAI `sparse_autoencoder.model.LN`.
 */
import * as tf from '@tensorflow/tfjs-core';

export interface Preprocessing {
  /**
   * `constant_norm_rescale`: x·√d/‖x‖ · `layer_norm`: (x − mean)/(std + 1e-5), the std unbiased ·
   * `expected_average_only_in`, `covariance_whitening`: constants of the data that were not in the file and so are not
   * folded; nothing is done at run time (as in SAELens), and the SAE must be given activations so normalised.
   */
  readonly normalize: (typeof normalizations)[number];
  /** `hook_z`: the activation has heads [.., heads, d_head] that are laid side by side into d_model. */
  readonly reshape: 'none' | 'hook_z';
}

export const normalizations = [
  'none',
  'constant_norm_rescale',
  'layer_norm',
  'expected_average_only_in',
  'covariance_whitening',
] as const;

export const noPreprocessing: Preprocessing = { normalize: 'none', reshape: 'none' };

/** What a row lost on the way in, and gets back on the way out. */
export interface Preprocessed {
  /** [B, d], what the SAE encodes. */
  readonly input: tf.Tensor2D;
  /** Decoded activations back to the scale of x: [B, d] → [B, d]. */
  restore(output: tf.Tensor2D): tf.Tensor2D;
}

/**
 * Prepares activations for the SAE's encoder.
 *
 * @param x [B, d]; for `hook_z` also [B, heads, d_head]
 */
export function preprocess(preprocessing: Preprocessing, x: tf.Tensor): Preprocessed {
  const flat = x.rank === 3 && preprocessing.reshape === 'hook_z' ? tf.reshape(x, [x.shape[0]!, -1]) : x;
  if (flat.rank !== 2) {
    const wanted = preprocessing.reshape === 'hook_z' ? '[B, d] or [B, heads, d_head]' : '[B, d]';
    throw new Error(`activations: found shape [${x.shape.join(', ')}], expected ${wanted}`);
  }
  const rows = flat as tf.Tensor2D;
  if (preprocessing.normalize === 'constant_norm_rescale') {
    const scale = tf.div(Math.sqrt(rows.shape[1]), tf.norm(rows, 2, 1, true)); // [B, 1]
    return { input: tf.mul(rows, scale), restore: (output) => tf.div(output, scale) };
  }
  if (preprocessing.normalize === 'layer_norm') {
    const mean = tf.mean(rows, 1, true); // [B, 1]
    const centred = tf.sub<tf.Tensor2D>(rows, mean);
    const std = tf.sqrt(tf.div(tf.sum(tf.square(centred), 1, true), rows.shape[1] - 1)); // [B, 1]
    return {
      input: tf.div(centred, tf.add(std, 1e-5)),
      restore: (output) => tf.add(tf.mul(output, std), mean),
    };
  }
  return { input: rows, restore: (output) => output };
}
