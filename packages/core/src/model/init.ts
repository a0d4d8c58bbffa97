/** First weights of an SAE, the same on every backend for one seed. */
import { createRng } from '@msae/sampler';

export const inits = ['reference', 'tied', 'unit-norm'] as const;
export type Init = (typeof inits)[number];

/** W_enc [d, N] and W_dec [N, e]. Tied: one random direction a latent serves both. */
export function initialMatrices(
  { d, e, nLatents: N, tied }: { d: number; e: number; nLatents: number; tied: boolean },
  seed: number,
  init: Init,
): { W_enc: Float32Array; W_dec: Float32Array } {
  const rng = createRng(seed);
  const W_enc = new Float32Array(d * N);
  const W_dec = new Float32Array(N * e);
  const direction = new Float64Array(Math.max(d, e));
  const draw = (width: number): number => {
    let sum = 0;
    for (let c = 0; c < width; c++) {
      direction[c] = Math.fround(rng.normal());
      sum += direction[c]! ** 2;
    }
    return Math.sqrt(sum) || 1;
  };
  for (let i = 0; i < N; i++) {
    let norm = draw(d);
    const encoderScale = init === 'reference' ? 1 / Math.sqrt(d) : (init === 'tied' ? 0.1 : 1) / norm;
    for (let c = 0; c < d; c++) W_enc[c * N + i] = direction[c]! * encoderScale;
    if (!tied) norm = draw(e);
    const decoderScale = (init === 'unit-norm' ? 1 : 0.1) / norm;
    for (let c = 0; c < e; c++) W_dec[i * e + c] = direction[c]! * decoderScale;
  }
  return { W_enc, W_dec };
}
