/** Measures sparse autoencoders: every metric of `@msae/eval/metrics`, and `evaluate`, which runs an SAE on tfjs. */
export { evaluate, saeLatents } from './evaluate.ts';
export * from './metricsEntry.ts';
