/** The six kernels of the sparse path; formulas and what a backend has to keep: README.md beside this file. */
export { type AdamAttrs, type AdamInputs, type AdamOutputs, adamKernel } from './adam/contract.ts';
export {
  type DecodeActiveAttrs,
  type DecodeActiveInputs,
  type DecodeActiveOutputs,
  decodeActiveKernel,
} from './decodeActive/contract.ts';
export {
  type Implementation,
  type Infos,
  type Kernel,
  ownKernels,
  type ProvidedKernel,
  tensorsOf,
} from './defineKernel.ts';
export {
  type EncodeActiveAttrs,
  type EncodeActiveInputs,
  type EncodeActiveOutputs,
  encodeActiveKernel,
} from './encodeActive/contract.ts';
export {
  type GlobalNormAttrs,
  type GlobalNormInputs,
  type GlobalNormOutputs,
  globalNormKernel,
} from './globalNorm/contract.ts';
export {
  type LatentGradsAttrs,
  type LatentGradsInputs,
  type LatentGradsOutputs,
  latentGradsKernel,
} from './latentGrads/contract.ts';
export {
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type PrefixLossOutputs,
  prefixLossKernel,
} from './prefixLoss/contract.ts';
export type { Score, Selection } from './selection.ts';
