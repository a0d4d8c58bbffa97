/**
 * The kernel contract of the sparse path. A backend takes part by registering any of these tfjs kernels under its own
 * name (`tf.registerKernel({ kernelName: KERNEL.encodeActive, backendName, kernelFunc })`); what it does not register
 * runs as a composition of stock tfjs ops (`composed/`). Formulas: README.md beside this file.
 *
 * Active lists are rows of a fixed capacity C (see {@link ActiveLatents}): the latents of a row in ascending order, then
 * padding with index N and value 0. Because C(N) − C(N) = 0 a padded slot weighs nothing in the loss.
 */
import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

export const KERNEL = {
  /** {@link EncodeActiveInputs}, {@link EncodeActiveAttrs} → [indices, values, counts, extra?] */
  encodeActive: 'MsaeEncodeActive',
  /** {@link DecodeActiveInputs} → [x̂ [B, d]] */
  decodeActive: 'MsaeDecodeActive',
  /** {@link PrefixLossInputs}, {@link PrefixLossAttrs} → [dValues, dW_dec, db_dec, report, residual?] */
  weightedPrefixDecode: 'MsaeWeightedPrefixDecode',
  /** {@link LatentGradsInputs}, {@link LatentGradsAttrs} → [dW_enc, db_enc, firings, squares, dThreshold?, near?] */
  latentGrads: 'MsaeLatentGrads',
  /** {@link AdamInputs}, {@link AdamAttrs} → [], in place on param, m and v */
  adam: 'MsaeAdam',
  /** any named float32 tensors → [‖all of them‖₂ as shape [1]] */
  globalNorm: 'MsaeGlobalNorm',
} as const;

/** What a row keeps of its pre-activations. */
export type SelectMode = 'topk' | 'batchtopk' | 'relu' | 'jumprelu';

export interface EncodeActiveInputs extends NamedTensorInfoMap {
  /** [B, d] */ x: TensorInfo;
  /** [d, N] */ W_enc: TensorInfo;
  /** [N] */ b_enc: TensorInfo;
  /** [d], subtracted from every row of x; absent unless `applyBDecToInput` */ b_dec: TensorInfo;
  /** [N], jumprelu only */ threshold: TensorInfo;
}

/**
 * Keeps, of pre = (x − b_dec) W_enc + b_enc:
 * - `topk`: the `keep` largest positive values of a row (ties: the lower index); C = keep
 * - `relu`: every value above `cutoff` (0 for relu; the running threshold of a batchtopk SAE in inference)
 * - `batchtopk`: the `keep` largest positive values of the whole batch; `extra` is the smallest kept value, shape [1] (0 if none)
 * - `jumprelu`: every value above threshold − margin; `values` holds pre where pre > threshold, else 0; `extra` holds pre [B, C]
 *
 * `counts[row]` is the number of latents that belong into the row: above C it says that the list was cut, and the caller
 * has to come back with more capacity. For batchtopk a row can need more than C only if one of its values beyond the C-th
 * is among the batch's `keep` largest: then its count is C + 1.
 */
export interface EncodeActiveAttrs extends NamedAttrMap {
  mode: SelectMode;
  /** topk: values a row keeps; batchtopk: values the batch keeps; else unused */ keep: number;
  capacity: number;
  cutoff: number;
  margin: number;
}

export interface DecodeActiveInputs extends NamedTensorInfoMap {
  /** [N, d] */ W_dec: TensorInfo;
  /** [d] */ b_dec: TensorInfo;
  /** int32 [B, C] */ indices: TensorInfo;
  /** [B, C] */ values: TensorInfo;
  /** int32 [B] */ counts: TensorInfo;
}

export interface PrefixLossInputs extends DecodeActiveInputs {
  /** [B, d] */ x: TensorInfo;
  /** [N + 1]: C(p) = Σ_{q≤p} w_q, the weights of the activations and of the reported loss */ cumulative: TensorInfo;
  /** [N + 1]: the same of v, the decoder's weights; absent when v = w */ decoderCumulative: TensorInfo;
}

export type PenaltyKind = 'none' | 'l1' | 'log' | 'sqrt' | 'tanh';

/**
 * Outputs: dValues [B, C] = ∂L/∂f of every listed entry (penalty included, 0 in padding), dW_dec [N, d], db_dec [d] and
 * report [3 + 2R] = L, mean L0 (listed values ≠ 0 a row), Σ‖x − x̄‖²/B, then R_p and then S_p of `reportPrefixes`; with
 * `keepResidual` also x − x̂ [B, d]. S_p counts inactive latents too (ln ε each for the log
 * penalty unless `subtractLogEpsilon`, √ε each for sqrt).
 */
export interface PrefixLossAttrs extends NamedAttrMap {
  /** ascending, each 0 … N */ reportPrefixes: number[];
  penalty: PenaltyKind;
  epsilon: number;
  subtractLogEpsilon: boolean;
  /** λ */ lambda: number;
  keepResidual: boolean;
}

export interface LatentGradsInputs extends NamedTensorInfoMap {
  /** [B, d] */ x: TensorInfo;
  /** [d]; absent unless `applyBDecToInput` */ b_dec: TensorInfo;
  /** int32 [B, C] */ indices: TensorInfo;
  /** [B, C] */ values: TensorInfo;
  /** [B, C] = ∂L/∂f */ dValues: TensorInfo;
  /** int32 [B] */ counts: TensorInfo;
  /** [B, C], jumprelu only */ pre: TensorInfo;
  /** [N], jumprelu only */ threshold: TensorInfo;
}

/**
 * Outputs: dW_enc [d, N], db_enc [N], firings [N] (rows in which the latent is active), squares [N] = Σ_rows f², and for
 * jumprelu dThreshold [N] and near [N] (rows with |pre − θ| < h/2). With a threshold an entry is active iff pre > θ, and
 * ∂f/∂θ = −(θ/h)·1[|pre − θ| < h/2]; without one every listed entry is active.
 */
export interface LatentGradsAttrs extends NamedAttrMap {
  nLatents: number;
  /** h, jumprelu only */ bandwidth: number;
}

export interface AdamInputs extends NamedTensorInfoMap {
  param: TensorInfo;
  m: TensorInfo;
  v: TensorInfo;
  grad: TensorInfo;
  /** [1]: the gradient is multiplied by it (clipping without a readback) */ scale: TensorInfo;
}

/** param −= lr · (m̂ / (√v̂ + ε) + weightDecay · param), with bias correction for `step` = 1, 2, … */
export interface AdamAttrs extends NamedAttrMap {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  step: number;
}
