/**
 * Matryoshka sparse autoencoders on tfjs-core ops: parameters, activations, penalties and the prefix loss with hand-written
 * gradients. Works on every tfjs backend; needs no registered gradients.
 *
 * @example
 * ```ts
 * import * as tf from '@tensorflow/tfjs-core';
 * import { createSae, log, matryoshkaLoss, relu } from '@msae/core';
 * import { createRng, truncatedPareto } from '@msae/sampler';
 *
 * const sae = createSae({ dModel: 64, nLatents: 512, activation: relu(), penalty: log(), seed: 0 });
 * const scheme = truncatedPareto({ count: 10 });
 * const rng = createRng(0);
 * const optimizer = tf.train.adam(3e-4);
 * optimizer.minimize(() =>
 *   matryoshkaLoss(sae, x, { prefixes: scheme.sample(512, rng), penaltyCoefficient: 0.03 }));
 * ```
 *
 * @module
 */
export {
  type Activation,
  batchTopK,
  checkActivation,
  identity,
  jumpRelu,
  keptValues,
  relu,
  topK,
} from './activation.ts';
export type { BackendDescription } from './backend.ts';
export { checkFinite, maxTensorBytes } from './checks.ts';
export { matryoshkaLoss } from './customGrad.ts';
export { decode, decodePrefixes, type EncodeOptions, encode } from './encode.ts';
export { lossParts, matryoshkaStep } from './loss.ts';
export { disposeStep, parseMetrics, readMetrics, type StepMetrics } from './metrics.ts';
export { checkPenalty, l1, log, none, type Penalty, sqrtPenalty, tanhPenalty } from './penalty.ts';
export {
  checkConfig,
  createSae,
  type ParamName,
  type Sae,
  type SaeConfig,
  type SaeOptions,
  type SaeParams,
  type SaeWeights,
  saeFromWeights,
} from './sae.ts';
export * from './sparse/index.ts';
export type { LossOptions, MatryoshkaStep, SaeGradients, StepOptions } from './step.ts';
