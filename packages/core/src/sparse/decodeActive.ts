import type * as tf from '@tensorflow/tfjs-core';
import type { Sae } from '../sae.ts';
import type { ActiveLatents } from './activeLatents.ts';
import { KERNEL } from './contract.ts';
import { runKernel } from './runKernel.ts';

/**
 * Reconstructs a batch from its active latents: x̂ = b_dec + Σ f_i d_i, at the cost of the active entries alone.
 *
 * @returns [B, d]
 * @throws RangeError if the lists come from an SAE with another number of latents.
 */
export function decodeActive(sae: Sae, active: ActiveLatents): tf.Tensor2D {
  const { W_dec, b_dec } = sae.params;
  if (active.nLatents !== sae.config.nLatents) {
    throw new RangeError(
      `decodeActive: the lists index ${active.nLatents} latents, this SAE has ${sae.config.nLatents}; encode with this SAE`,
    );
  }
  const { indices, values, counts } = active;
  return runKernel(KERNEL.decodeActive, { W_dec, b_dec, indices, values, counts })[0] as tf.Tensor2D;
}
