/** Measures sparse autoencoders: every metric of `@msae/eval/metrics`, and `evaluateSae`, which runs one on tfjs. */
export { evaluateSae, saeLatents } from './evaluateSae.ts';
export * from './metrics.ts';
