/**
 * What a backend package builds on: the six kernels to provide implementations of, and the words to describe a backend with.
 *
 * @module
 */
export {
  type BackendDescription,
  type BackendTraits,
  backendTraits,
  describeBackend,
} from './backendTraits.ts';
export { maxTensorBytes } from './checks.ts';
export * from './kernels/index.ts';
export { isPenalised, type Penalty, penaltyNumbers } from './penalties/table.ts';
