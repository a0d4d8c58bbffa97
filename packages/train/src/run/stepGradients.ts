/** One step's loss and gradients by the dense or the sparse path of @msae/core; both have the same outputs. */
import { type MatryoshkaStep, matryoshkaStep, type Sae, type StepOptions, sparseStep } from '@msae/core';
import type * as tf from '@tensorflow/tfjs-core';

export type StepPath = 'dense' | 'sparse';

/** Runs a step; all tensors of the result are the caller's (`disposeStep`). */
export function stepGradients(
  sae: Sae,
  x: tf.Tensor2D,
  path: StepPath,
  options: StepOptions,
): MatryoshkaStep {
  return path === 'sparse' ? sparseStep(sae, x, options) : matryoshkaStep(sae, x, options);
}
