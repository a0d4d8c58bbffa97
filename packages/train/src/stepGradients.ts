/** One step's loss and gradients by the dense or the sparse path of @msae/core; both have the same outputs. */
import {
  encode,
  type MatryoshkaStep,
  matryoshkaStep,
  type Sae,
  type StepOptions,
  sparseStep,
} from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';

export type StepPath = 'dense' | 'sparse';

/** Runs a step; all tensors of the result are the caller's (`disposeStep`). */
export function stepGradients(
  sae: Sae,
  x: tf.Tensor2D,
  path: StepPath,
  options: StepOptions,
): MatryoshkaStep {
  if (path === 'sparse') return sparseStep(sae, x, options);
  const step = matryoshkaStep(sae, x, options);
  if (sae.config.activation.kind === 'batchtopk') step.smallestKept = smallestKept(sae, x);
  return step;
}

/** The smallest activation a batchtopk training batch keeps, [1]; 0 when it keeps none. The dense path does not return it. */
function smallestKept(sae: Sae, x: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const f = encode(sae, x, { training: true });
    const absent = tf.mul(tf.sub(1, tf.step(f)), 3e38);
    const smallest = tf.min(tf.add(f, absent));
    return tf.reshape(tf.mul(smallest, tf.step(tf.max(f))), [1]);
  });
}
