/**
 * How well x is rebuilt. FVU = Σ‖x−x̂‖² / Σ‖x−x̄‖² with x̄ the mean over all tokens, one vector; the definition of the literature
 * (SAELens up to 6.45 and SAEBench divide by something else, see their issue history). One pass, O(d) memory.
 */
import { msaeError } from '@msae/schema';
import { checkMatrix, type Matrix } from './matrix.ts';

export interface ReconstructionMetrics {
  readonly tokens: number;
  /** Fraction of variance unexplained; NaN when x does not vary. */
  readonly fvu: number;
  /** Mean over tokens of ‖x−x̂‖² / ‖x−x̄‖², x̄ the mean so far: every token counts alike, however long. */
  readonly fvuOfRows: number;
  /** 1 − FVU. */
  readonly explainedVariance: number;
  /** Mean over tokens of the squared error, summed over dimensions. */
  readonly mse: number;
  /** Mean over tokens of ‖x − x̄‖². */
  readonly variance: number;
  /** Mean over tokens of cos(x, x̂); a zero vector counts as 0. */
  readonly cosine: number;
  /** Shrinkage: mean ‖x̂‖/‖x‖ over tokens with ‖x‖ > 1e-6; 1 is none. */
  readonly l2Ratio: number;
  /** E‖x̂‖² / E[x·x̂]; 1 is unbiased, below 1 the reconstruction is too short. */
  readonly relativeBias: number;
}

export interface ReconstructionAccumulator {
  /** Adds tokens `x` [B, d] with their reconstructions `xHat` [B, d]. Throws an MsaeError for other shapes or numbers not finite. */
  add(x: Matrix, xHat: Matrix): void;
  result(): ReconstructionMetrics;
}

export function reconstructionAccumulator(width: number): ReconstructionAccumulator {
  // Sums of x are taken around the first row, so that a large mean does not cancel the variance.
  let shift: Float64Array | undefined;
  const sumX = new Float64Array(width);
  let [ratiosOfRows, varying] = [0, 0];
  let [tokens, squares, errors, cosines, ratios, longEnough, reconstructed, crossed] = [
    0, 0, 0, 0, 0, 0, 0, 0,
  ];
  return {
    add(x, xHat) {
      checkMatrix('reconstruction: x', x, width);
      checkMatrix('reconstruction: xHat', xHat, width, x.rows);
      if (x.rows === 0) return;
      shift ??= Float64Array.from({ length: width }, (_, j) => x.data[j]!);
      for (let at = 0; at < x.rows * width; at++) sumX[at % width]! += x.data[at]! - shift[at % width]!;
      const seen = tokens + x.rows;
      for (let r = 0; r < x.rows; r++) {
        let distance = 0;
        let error = 0;
        let xx = 0;
        let yy = 0;
        let xy = 0;
        for (let j = 0, at = r * width; j < width; j++, at++) {
          const a = x.data[at]!;
          const b = xHat.data[at]!;
          const centred = a - shift[j]!;
          distance += (centred - sumX[j]! / seen) ** 2;
          squares += centred * centred;
          error += (a - b) * (a - b);
          xx += a * a;
          yy += b * b;
          xy += a * b;
        }
        if (!Number.isFinite(error)) {
          throw msaeError(
            'value',
            `reconstruction: token ${tokens + r} or its reconstruction holds a number that is not finite`,
          );
        }
        errors += error;
        if (distance > 0) {
          ratiosOfRows += error / distance;
          varying += 1;
        }
        reconstructed += yy;
        crossed += xy;
        if (xx > 0 && yy > 0) cosines += xy / Math.sqrt(xx * yy);
        if (xx > 1e-12) {
          ratios += Math.sqrt(yy / xx);
          longEnough += 1;
        }
      }
      tokens += x.rows;
    },
    result() {
      if (tokens === 0) throw msaeError('value', 'reconstruction: no tokens were added');
      const variance = squares - sumX.reduce((sum, value) => sum + value * value, 0) / tokens;
      const fvu = variance > 0 ? errors / variance : Number.NaN;
      return {
        tokens,
        fvu,
        fvuOfRows: varying > 0 ? ratiosOfRows / varying : Number.NaN,
        explainedVariance: 1 - fvu,
        mse: errors / tokens,
        variance: variance / tokens,
        cosine: cosines / tokens,
        l2Ratio: longEnough > 0 ? ratios / longEnough : Number.NaN,
        relativeBias: reconstructed / crossed,
      };
    },
  };
}
