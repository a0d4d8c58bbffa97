/**
 * Feature absorption on real activations (Chanin et al. 2024; formulas of SAEBench's feature_absorption_calculator): on tokens
 * where a probe finds the label, the latents that stand for the label are silent and a latent with another name carries its
 * direction instead.
 */
import { type ActiveRows, activationAt, checkActiveRows } from './activeRows.ts';
import { checkMatrix, type Matrix, type Numbers } from './matrix.ts';

export interface AbsorptionOptions {
  /** Direction of the label's probe [d], any length. */
  readonly probe: Numbers;
  /** The latents that stand for the label (one, or several when it is split). */
  readonly mainLatents: ArrayLike<number>;
  /** W_dec [N, d]. */
  readonly decoder: Matrix;
  /** Tokens that have the label and that the probe finds: model activations [S, d] … */
  readonly x: Matrix;
  /** … and the SAE's activations. */
  readonly active: ActiveRows;
}

export interface AbsorptionResult {
  readonly samples: number;
  /** Share of tokens with full absorption: main latents silent, one latent carries at least 0.4 of the probe's projection. */
  readonly full: number;
  /** Mean absorption fraction: how much of the label is carried by up to three other latents, 0 to 1. */
  readonly fraction: number;
  /** Latents that absorbed the label fully on some token, most often first. */
  readonly absorbers: { readonly latent: number; readonly tokens: number }[];
}

const SILENT = 1e-8;
const FULL_MIN_COSINE = 0.025;
const FULL_MIN_SHARE = 0.4;
const FRACTION_MIN_COSINE = 0.1;
const FRACTION_MIN_SHARE = 0.4;
const FRACTION_LATENTS = 3;

/** Absorption of one label. A latent's projection is a_i W_dec_i · p̂ (SAEBench's a_i cos_i where rows have length 1). */
export function absorption(options: AbsorptionOptions): AbsorptionResult {
  const { probe, mainLatents, decoder, x, active } = options;
  const width = probe.length;
  checkMatrix('absorption: decoder', decoder, width, active.nLatents);
  checkMatrix('absorption: x', x, width, active.rows);
  checkActiveRows('absorption', active, active.nLatents);
  const along = projections(decoder, probe); // W_dec_i · p̂ and cosine
  const isMain = new Uint8Array(active.nLatents);
  for (let k = 0; k < mainLatents.length; k++) isMain[mainLatents[k]!] = 1;
  const absorbers = new Map<number, number>();
  let fractions = 0;
  for (let s = 0; s < active.rows; s++) {
    const whole = dotUnit(x, s, probe);
    let main = 0;
    let mainFired = false;
    for (let k = 0; k < mainLatents.length; k++) {
      const activation = activationAt(active, s, mainLatents[k]!);
      mainFired ||= Math.abs(activation) >= SILENT;
      main += activation * along.length[mainLatents[k]!]!;
    }
    let strongest = -1;
    let strength = -Infinity;
    const others: number[] = [];
    for (let at = active.offsets[s]!; at < active.offsets[s + 1]!; at++) {
      const latent = active.indices[at]!;
      const projection = active.values[at]! * along.length[latent]!;
      if (projection > strength) {
        strength = projection;
        strongest = latent;
      }
      if (!isMain[latent] && along.cosine[latent]! >= FRACTION_MIN_COSINE && projection > 0)
        others.push(projection);
    }
    if (
      !mainFired &&
      strongest >= 0 &&
      along.cosine[strongest]! >= FULL_MIN_COSINE &&
      whole > 0 &&
      strength / whole >= FULL_MIN_SHARE
    ) {
      absorbers.set(strongest, (absorbers.get(strongest) ?? 0) + 1);
    }
    others.sort((a, b) => b - a);
    const absorbed = others.slice(0, FRACTION_LATENTS).reduce((sum, value) => sum + value, 0);
    fractions += absorptionFraction(main, absorbed, whole);
  }
  const samples = active.rows;
  const full = [...absorbers.values()].reduce((sum, count) => sum + count, 0);
  return {
    samples,
    full: samples > 0 ? full / samples : Number.NaN,
    fraction: samples > 0 ? fractions / samples : Number.NaN,
    absorbers: [...absorbers]
      .map(([latent, tokens]) => ({ latent, tokens }))
      .sort((a, b) => b.tokens - a.tokens || a.latent - b.latent),
  };
}

/** SAEBench's fraction for main projection M, absorbing projection A and the probe's projection P. */
export function absorptionFraction(main: number, absorbed: number, whole: number): number {
  if (main >= whole || absorbed / whole < FRACTION_MIN_SHARE) return 0;
  if (main <= 0) return 1;
  const share = Math.min(absorbed, whole - main);
  return share / (share + main);
}

function projections(decoder: Matrix, probe: Numbers): { length: Float64Array; cosine: Float64Array } {
  const length = new Float64Array(decoder.rows);
  const cosine = new Float64Array(decoder.rows);
  for (let i = 0; i < decoder.rows; i++) {
    length[i] = dotUnit(decoder, i, probe);
    const norm = Math.sqrt(squaredNorm(decoder, i));
    cosine[i] = norm > 0 ? length[i]! / norm : 0;
  }
  return { length, cosine };
}

function squaredNorm(m: Matrix, row: number): number {
  let sum = 0;
  for (let at = row * m.columns; at < (row + 1) * m.columns; at++) sum += m.data[at]! * m.data[at]!;
  return sum;
}

/** Row · p̂, with p̂ the probe scaled to length 1. */
function dotUnit(m: Matrix, row: number, probe: Numbers): number {
  let dot = 0;
  let norm = 0;
  for (let k = 0; k < m.columns; k++) {
    dot += m.data[row * m.columns + k]! * probe[k]!;
    norm += probe[k]! * probe[k]!;
  }
  return dot / Math.sqrt(norm);
}
