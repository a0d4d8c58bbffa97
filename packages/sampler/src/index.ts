/**
 * Prefixes for Matryoshka sparse autoencoders: which first latents count in a step's loss, and how much.
 *
 * @example
 * ```ts
 * import { createRng, truncatedPareto } from '@msae/sampler';
 *
 * const rng = createRng(0);
 * const { lengths, weights } = truncatedPareto({ count: 10 }).sample(4096, rng);
 * ```
 *
 * @module
 */
export {
  checkPrefixes,
  type Prefixes,
  type PrefixScheme,
  type PrefixSchemeData,
  type Reduction,
} from './prefixes.ts';
export { createRng, type Rng, type RngState } from './rng.ts';
export { prefixScheme, prefixSchemeSchema } from './schemeData.ts';
export {
  type EveryPrefixOptions,
  everyPrefix,
  fixedWidths,
  fractions,
  fullPrefix,
  type GeometricOptions,
  geometricWidths,
} from './schemes.ts';
export {
  type ParetoOptions,
  paretoCdf,
  paretoPmf,
  paretoQuantile,
  type TruncatedParetoOptions,
  truncatedPareto,
} from './truncatedPareto.ts';
