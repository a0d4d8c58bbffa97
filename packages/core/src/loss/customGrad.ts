/** The Matryoshka loss as a differentiable tfjs function, for those who bring their own loop, losses or optimizer. */
import * as tf from '@tensorflow/tfjs-core';
import type { ParamName, Sae } from '../model/sae.ts';
import { matryoshkaStep } from './dense.ts';
import type { LossOptions, TargetOptions } from './step.ts';

/**
 * The loss as a scalar that `tf.variableGrads` and every tfjs optimizer understand. Forward and all gradients are computed
 * in one pass (`matryoshkaStep`); the tape only scales them. Differentiable in the SAE's parameters, not in x. Needs none of
 * tfjs's registered gradients.
 *
 * @param x [B, d], float32, raw
 * @returns L, a scalar
 * @throws MsaeError as `matryoshkaStep` does.
 *
 * @example
 * ```ts
 * optimizer.minimize(() => matryoshkaLoss(sae, x, { prefixes }), false, Object.values(sae.params));
 * ```
 */
export function matryoshkaLoss(sae: Sae, x: tf.Tensor, options: LossOptions & TargetOptions): tf.Scalar {
  const names = Object.keys(sae.params) as ParamName[];
  const loss = tf.customGrad((...inputs) => {
    const save = inputs[names.length] as unknown as tf.GradSaveFunc;
    const { metrics, grads } = matryoshkaStep(sae, x, options);
    save(names.map((name) => grads[name]!));
    return {
      value: tf.reshape(tf.slice(metrics, 0, 1), []),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => saved.map((grad) => tf.mul(grad, dy)),
    };
  });
  return loss(...names.map((name) => sae.params[name]!)) as tf.Scalar;
}
