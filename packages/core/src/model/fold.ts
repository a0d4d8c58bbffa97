/**
 * The weights of an SAE for a format that has no room for its transform: what can be folded into them is. With the affine part
 * z = x·A + c of the input's transform and z = y·A′ + c′ of the output's,
 *
 *     W_enc ← A W_enc     b_enc ← b_enc + c W_enc     W_dec ← W_dec A′⁻¹     b_dec ← (b_dec − c′) A′⁻¹
 *
 * (with applyBDecToInput b_enc stays: (z − b_dec) W_enc = (x − (b_dec − c) A⁻¹) A W_enc). Every matrix is computed when it is
 * asked for, so only one is in memory at a time.
 */
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Affine } from '../transforms/definition.ts';
import { splitTransform, type Transform, times } from '../transforms/table.ts';
import { isAutoencoder, outputSite, type Sae } from './sae.ts';

export interface FoldOptions {
  /** Decoder rows become unit vectors, activations are multiplied by the norms they had. Default false. */
  decoderNorm?: boolean;
  /** Whether the format's encoder sees x − b_dec; b_enc makes up for the difference. Default: as the SAE does. */
  applyBDecToInput?: boolean;
}

/** Weights that apply to raw activations, but for `rest`; each call computes a fresh array. */
export interface FoldedWeights {
  /** Steps of the input's transform that depend on the row and so cannot be folded; the caller's format has to know them. */
  readonly rest: Transform;
  /** [d, N] */
  W_enc(): Promise<Float32Array>;
  /** [N] */
  b_enc(): Promise<Float32Array>;
  /** [N, d_out] */
  W_dec(): Promise<Float32Array>;
  /** [d_out] */
  b_dec(): Promise<Float32Array>;
  /** [N] thresholds, or the inference threshold at every latent. */
  threshold(): Promise<Float32Array>;
}

/** Folds an SAE's transform, and where asked its decoder norms, into weights. */
export async function fold(sae: Sae, options: FoldOptions = {}): Promise<FoldedWeights> {
  const { params, config, inferenceThreshold } = sae;
  const [d, e, n] = [config.input.width, outputSite(config).width, config.nLatents];
  const { applyBDecToInput = config.applyBDecToInput } = options;
  const { rest, affine: read } = splitTransform(sae.transform.input, d);
  const write = isAutoencoder(config) ? read : splitTransform(sae.transform.output, e).affine;
  const back = write && inverseOf(write);

  const foldedW_dec = async (): Promise<Float64Array | Float32Array> => {
    const W_dec = await values(params.W_dec);
    return back ? times(Float64Array.from(W_dec), n, back, e) : W_dec;
  };
  const norms = options.decoderNorm ? rowNorms(await foldedW_dec(), n, e) : undefined;
  const norm = (i: number): number => norms?.[i] ?? 1;

  /** A·W_enc in float64. */
  const foldedW_enc = async (): Promise<Float64Array> => {
    const W_enc = Float64Array.from(await values(params.W_enc));
    if (read === undefined) return W_enc;
    if (read.matrix === undefined) return W_enc.map((value) => value * read.scale);
    const out = new Float64Array(d * n);
    for (let row = 0; row < d; row++) {
      for (let k = 0; k < d; k++) {
        const a = read.matrix.forward[row * d + k]! * read.scale;
        for (let i = 0; i < n; i++) out[row * n + i]! += a * W_enc[k * n + i]!;
      }
    }
    return out;
  };
  const foldedB_dec = async (): Promise<Float64Array> => {
    const b_dec = Float64Array.from(
      await values(params.b_dec),
      (value, i) => value - (write?.offset[i] ?? 0),
    );
    return back ? times(b_dec, 1, back, e) : b_dec;
  };
  return {
    rest,
    async W_enc() {
      const out = Float32Array.from(await foldedW_enc());
      if (norms)
        for (let row = 0, at = 0; row < d; row++) for (let i = 0; i < n; i++, at++) out[at]! *= norm(i);
      return out;
    },
    b_dec: async () => Float32Array.from(await foldedB_dec()),
    async b_enc() {
      const shift = new Float64Array(n);
      const add = (row: Float64Array, W: ArrayLike<number>, sign: number): void => {
        for (let j = 0, at = 0; j < d; j++)
          for (let i = 0; i < n; i++, at++) shift[i]! += sign * row[j]! * W[at]!;
      };
      // without b_dec in the encoder the transform's offset reaches b_enc; with it, b_dec holds it
      if (read && !config.applyBDecToInput) add(read.offset, await values(params.W_enc), 1);
      // (x − b)·W + b_enc = x·W + (b_enc − b·W)
      if (applyBDecToInput !== config.applyBDecToInput) {
        add(await foldedB_dec(), await foldedW_enc(), applyBDecToInput ? 1 : -1);
      }
      return Float32Array.from(await values(params.b_enc), (value, i) => (value + shift[i]!) * norm(i));
    },
    async W_dec() {
      const out = Float32Array.from(await foldedW_dec());
      if (norms)
        for (let i = 0, at = 0; i < n; i++) for (let row = 0; row < e; row++, at++) out[at]! /= norm(i);
      return out;
    },
    async threshold() {
      const own = params.threshold
        ? await values(params.threshold)
        : new Float32Array(n).fill(inferenceThreshold ?? 0);
      return Float32Array.from(own, (value, i) => Math.max(value, 0) * norm(i));
    },
  };
}

/** A⁻¹, without an offset. */
function inverseOf({ scale, matrix, offset }: Affine): Affine {
  return {
    scale: 1 / scale,
    offset,
    ...(matrix && { matrix: { forward: matrix.inverse, inverse: matrix.forward } }),
  };
}

/** A tensor's values; not to be changed (the cpu backend hands out its own array). */
async function values(tensor: Tensor): Promise<Float32Array> {
  return (await tensor.data()) as Float32Array;
}

/** ‖row‖; 1 for a row of zeros, which decodes to nothing either way. */
function rowNorms(W_dec: ArrayLike<number>, n: number, d: number): Float64Array {
  const norms = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let at = i * d; at < (i + 1) * d; at++) sum += W_dec[at]! ** 2;
    norms[i] = Math.sqrt(sum) || 1;
  }
  return norms;
}
