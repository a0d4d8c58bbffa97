/** A histogram of every latent's activations with a range found on the way: when a value exceeds it, bins merge in pairs and the range doubles. */
import { msaeError } from '@msae/schema';
import { type ActiveRows, checkActiveRows } from './activeRows.ts';

export interface ActivationHistogram {
  /** Upper end of the last bin; bins are equally wide and begin at 0. 0 when the latent never fired. */
  readonly upper: number;
  readonly counts: Uint32Array;
}

export interface ActivationHistogramAccumulator {
  add(active: ActiveRows): void;
  histogram(latent: number): ActivationHistogram;
}

/** Accumulates `bins` (even, default 32) counts a latent over the magnitudes of its activations. */
export function activationHistograms(options: {
  readonly nLatents: number;
  readonly bins?: number;
}): ActivationHistogramAccumulator {
  const { nLatents, bins = 32 } = options;
  if (!(Number.isInteger(bins) && bins >= 2 && bins % 2 === 0)) {
    throw msaeError('option', `activationHistograms: bins is ${bins}; expected an even number of at least 2`);
  }
  const uppers = new Float64Array(nLatents);
  const counts = new Uint32Array(nLatents * bins);
  const doubleRange = (latent: number): void => {
    const from = latent * bins;
    for (let k = 0; k < bins; k++) {
      const merged = 2 * k < bins ? counts[from + 2 * k]! + counts[from + 2 * k + 1]! : 0;
      counts[from + k] = merged;
    }
    uppers[latent]! *= 2;
  };
  return {
    add(active) {
      checkActiveRows('activationHistograms', active, nLatents);
      for (let at = 0, end = active.offsets[active.rows]!; at < end; at++) {
        const latent = active.indices[at]!;
        const value = Math.abs(active.values[at]!);
        if (value === 0) continue;
        if (uppers[latent] === 0) uppers[latent] = 2 ** Math.ceil(Math.log2(value));
        while (value > uppers[latent]!) doubleRange(latent);
        const bin = Math.min(bins - 1, Math.floor((value / uppers[latent]!) * bins));
        counts[latent * bins + bin]! += 1;
      }
    },
    histogram: (latent) => ({
      upper: uppers[latent]!,
      counts: counts.slice(latent * bins, (latent + 1) * bins),
    }),
  };
}
