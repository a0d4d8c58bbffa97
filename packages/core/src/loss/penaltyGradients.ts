/** The penalty's part of the dense loss: S_p = mean over rows of Σ_{i<p} s(|f_i|·‖d_i‖), and λ T_i ∂s/∂f, λ T_i ∂s/∂d. */
import type { Prefixes } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { activationTraits } from '../activations/table.ts';
import type { Code } from '../kernels/selection.ts';
import type { Sae } from '../model/sae.ts';
import { isPenalised, type Penalty, penaltySlope, penaltyValue } from '../penalties/table.ts';
import { column, rowSums } from './linalg.ts';
import type { LossOptions } from './step.ts';

/** Σ over rows of s(|f_i|·‖d_i‖) for every latent, [N]. */
export function penaltySums(penalty: Penalty, f: tf.Tensor2D, norms: tf.Tensor2D): tf.Tensor1D {
  if (!isPenalised(penalty)) return tf.zeros([f.shape[0]]);
  return rowSums(penaltyValue(penalty, tf.mul(tf.abs(f), norms)));
}

/** λ T_i ∂s/∂f [N, B] (or [N, 1]) and λ T_i ∂s/∂d [N, d], both over B rows; undefined without a penalty. */
export function penaltyGradients(
  sae: Sae,
  { code, norms }: { code: Code; norms: tf.Tensor2D },
  { prefixes, penaltyCoefficient = 0 }: LossOptions,
): { f: tf.Tensor; W_dec: tf.Tensor } | undefined {
  const { penalty, nLatents: N, activation } = sae.config;
  if (!isPenalised(penalty) || penaltyCoefficient === 0) return undefined;
  return tf.tidy(() => {
    const weight = tf.tensor2d(tailWeights(prefixes, N, penaltyCoefficient / code.f.shape[1]), [N, 1]); // λ T_i / B
    const size = tf.abs(code.f);
    const slope = penaltySlope(penalty, tf.mul(size, norms)); // s′, [N, B]
    const toSize = tf.mul(weight, norms);
    const f = tf.mul(slope, toSize);
    const toNorm = tf.mul(weight, column(rowSums(tf.mul(slope, size))));
    return {
      f: activationTraits(activation).signed ? tf.mul(f, tf.sign(code.f)) : f,
      W_dec: tf.mul(sae.params.W_dec, tf.divNoNan(toNorm, norms)),
    };
  });
}

/** T_i = Σ_{p>i} w_p, times a factor, for every latent i. */
function tailWeights({ lengths, weights }: Prefixes, N: number, factor: number): Float32Array {
  const tail = new Float32Array(N);
  let sum = 0;
  for (let j = lengths.length - 1; j >= 0; j--) {
    sum += weights[j]!;
    tail.fill(factor * sum, j > 0 ? lengths[j - 1]! : 0, lengths[j]!);
  }
  return tail;
}
