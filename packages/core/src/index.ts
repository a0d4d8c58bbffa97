/**
 * Matryoshka sparse autoencoders on tfjs-core ops: one whole SAE from raw activations to raw reconstructions, the prefix loss
 * with hand-written gradients (dense and sparse), activations, penalties and kernels as definitions. Works on every tfjs
 * backend; needs no registered gradients. What a backend package needs besides is in `@msae/core/backend`.
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
export { isMsaeError, type MsaeError } from '@msae/schema';
export { absTopK } from './activations/absTopK.ts';
export { batchTopK } from './activations/batchTopK.ts';
export { identity } from './activations/identity.ts';
export { jumpRelu } from './activations/jumpRelu.ts';
export { relu } from './activations/relu.ts';
export {
  type Activation,
  activationKinds,
  activationTraits,
  checkActivation,
} from './activations/table.ts';
export { topK } from './activations/topK.ts';
export { checkFinite } from './checks.ts';
export { matryoshkaLoss } from './loss/customGrad.ts';
export { lossParts, matryoshkaStep } from './loss/dense.ts';
export { disposeStep, parseMetrics, readMetrics, type StepMetrics } from './loss/metrics.ts';
export { type SparseStepOptions, sparseStep } from './loss/sparse.ts';
export type { LossOptions, MatryoshkaStep, SaeGradients, StepOptions } from './loss/step.ts';
export type { ActiveLatents } from './model/activeLatents.ts';
export { decode, decodeActive, decodePrefixes, reconstruct } from './model/decode.ts';
export { encode } from './model/encode.ts';
export { encodeActive } from './model/encodeActive.ts';
export { type FoldedWeights, fold } from './model/fold.ts';
export {
  checkConfig,
  createSae,
  isAutoencoder,
  outputSite,
  type ParamName,
  type PrefixRecord,
  type Sae,
  type SaeConfig,
  type SaeOptions,
  type SaeParams,
  type SaeRecord,
  type SaeWeights,
  saeFromWeights,
  saeOptionsSchema,
  type TrainingRecord,
} from './model/sae.ts';
export type { Site } from './model/site.ts';
export { l1 } from './penalties/l1.ts';
export { log } from './penalties/log.ts';
export { none } from './penalties/none.ts';
export { sqrtPenalty } from './penalties/sqrt.ts';
export { checkPenalty, type Penalty, penaltyKinds } from './penalties/table.ts';
export { tanhPenalty } from './penalties/tanh.ts';
export { applyTransform, stepArrays, type Transform, type TransformStep } from './transforms/table.ts';
