export type { ActiveLatents } from './activeLatents.ts';
export { type ComposedKernel, composedKernels } from './composed/composedKernels.ts';
export {
  type AdamAttrs,
  type AdamInputs,
  type DecodeActiveInputs,
  type EncodeActiveAttrs,
  type EncodeActiveInputs,
  KERNEL,
  type LatentGradsAttrs,
  type LatentGradsInputs,
  type PenaltyKind,
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type SelectMode,
} from './contract.ts';
export { decodeActive } from './decodeActive.ts';
export { type EncodeActiveOptions, encodeActive } from './encodeActive.ts';
export { type KernelInputs, ownKernels, runKernel } from './runKernel.ts';
export { type SparseStep, type SparseStepOptions, sparseStep } from './sparseStep.ts';
