/**
 * The weighted loss of all prefixes and its gradients in plain TypeScript, one row at a time.
 *
 *     r_0 = b_dec − x,  r_i = r_{i−1} + f_{k_i} d_{k_i},  Ω_i = C(k_{i+1}) − C(k_i),  S_i = Σ_{j≥i} Ω_j r_j
 *     L = mean Σ_i Ω_i ‖r_i‖²    ∂/∂f_{k_i} = 2/B S_i·d_{k_i}    ∂/∂d_{k_i} += 2/B f_{k_i} S′_i    ∂/∂b_dec += 2/B S′_0
 */
import { isPenalised, penaltyNumbers } from '../../penalties/table.ts';
import { cpuArrays } from '../cpuBackend.ts';
import type { Implementation } from '../defineKernel.ts';
import type { PrefixLossAttrs, PrefixLossInputs, PrefixLossOutputs } from './contract.ts';

export const cpuPrefixLoss: Implementation<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const arrays = cpuArrays(backend);
  const [n, d] = inputs.W_dec.shape as [number, number];
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const [x, W_dec, b_dec] = [
    arrays.floats(inputs.target),
    arrays.floats(inputs.W_dec),
    arrays.floats(inputs.b_dec),
  ];
  const [indices, counts] = [arrays.ints(inputs.indices), arrays.ints(inputs.counts)];
  const values = arrays.floats(inputs.values);
  const C = arrays.floats(inputs.cumulative);
  const V = arrays.maybeFloats(inputs.decoderCumulative);
  const lengths = attrs.reportPrefixes;
  const nReport = lengths.length;
  const dValues = new Float32Array(rows * capacity);
  const dW_dec = new Float32Array(n * d);
  const db_dec = new Float32Array(d);
  const recon = new Float64Array(nReport);
  const sparsity = new Float64Array(nReport);
  const residuals = new Float64Array((capacity + 1) * d);
  const squared = new Float64Array(capacity + 1);
  const S = new Float64Array(d);
  const T = V === undefined ? S : new Float64Array(d);
  const scale = 2 / rows;
  const penalty = isPenalised(attrs.penalty) ? penaltyNumbers(attrs.penalty) : undefined;
  const norms =
    penalty === undefined ? undefined : activeNorms(W_dec, { indices, counts }, { rows, d, n, capacity });
  const slopeSums = penalty === undefined ? undefined : new Float64Array(n);
  const residual = attrs.keepResidual ? new Float32Array(rows * d) : undefined;
  let loss = 0;
  let active = 0;

  for (let row = 0; row < rows; row++) {
    const count = Math.min(counts[row]!, capacity);
    const at = row * capacity;
    for (let j = 0; j < d; j++) residuals[j] = b_dec[j]! - x[row * d + j]!;
    for (let i = 0; i <= count; i++) {
      const cur = i * d;
      const next = cur + d;
      // two chains of additions: a sum waits for its last addition
      let sum = 0;
      let other = 0;
      if (i < count) {
        const f = values[at + i]!;
        if (f !== 0) active++;
        const w = indices[at + i]! * d;
        let j = 0;
        for (; j + 2 <= d; j += 2) {
          const r = residuals[cur + j]!;
          const q = residuals[cur + j + 1]!;
          sum += r * r;
          other += q * q;
          residuals[next + j] = r + f * W_dec[w + j]!;
          residuals[next + j + 1] = q + f * W_dec[w + j + 1]!;
        }
        for (; j < d; j++) {
          const r = residuals[cur + j]!;
          sum += r * r;
          residuals[next + j] = r + f * W_dec[w + j]!;
        }
      } else {
        for (let j = 0; j < d; j++) {
          const r = residuals[cur + j]!;
          sum += r * r;
        }
      }
      sum += other;
      squared[i] = sum;
      const from = i === 0 ? 0 : C[indices[at + i - 1]!]!;
      const to = i < count ? C[indices[at + i]!]! : C[n]!;
      loss += (to - from) * sum;
    }
    for (let q = 0, i = 0; q < nReport; q++) {
      while (i < count && indices[at + i]! < lengths[q]!) i++;
      recon[q] = recon[q]! + squared[i]!;
    }
    if (residual !== undefined) {
      for (let j = 0; j < d; j++) residual[row * d + j] = -residuals[count * d + j]!;
    }
    // backward: S holds Σ_{j>i} Ω_j r_j until r_i's own share is added
    S.fill(0);
    if (T !== S) T.fill(0);
    for (let i = count; i >= 0; i--) {
      const from = i === 0 ? 0 : indices[at + i - 1]!;
      const to = i < count ? indices[at + i]! : n;
      const weight = (C[to]! - (i === 0 ? 0 : C[from]!)) * scale;
      const cur = i * d;
      if (V !== undefined) {
        const decoderWeight = (V[to]! - (i === 0 ? 0 : V[from]!)) * scale;
        for (let j = 0; j < d; j++) T[j] = T[j]! + decoderWeight * residuals[cur + j]!;
      }
      if (i === 0) {
        for (let j = 0; j < d; j++) S[j] = S[j]! + weight * residuals[cur + j]!;
        break;
      }
      const w = from * d;
      const f = values[at + i - 1]!;
      let dot = 0;
      let otherDot = 0;
      if (V === undefined) {
        let j = 0;
        for (; j + 2 <= d; j += 2) {
          const s = S[j]! + weight * residuals[cur + j]!;
          const t = S[j + 1]! + weight * residuals[cur + j + 1]!;
          S[j] = s;
          S[j + 1] = t;
          dot += s * W_dec[w + j]!;
          otherDot += t * W_dec[w + j + 1]!;
          dW_dec[w + j] = dW_dec[w + j]! + f * s;
          dW_dec[w + j + 1] = dW_dec[w + j + 1]! + f * t;
        }
        for (; j < d; j++) {
          const s = S[j]! + weight * residuals[cur + j]!;
          S[j] = s;
          dot += s * W_dec[w + j]!;
          dW_dec[w + j] = dW_dec[w + j]! + f * s;
        }
      } else {
        for (let j = 0; j < d; j++) {
          const s = S[j]! + weight * residuals[cur + j]!;
          S[j] = s;
          dot += s * W_dec[w + j]!;
          dW_dec[w + j] = dW_dec[w + j]! + f * T[j]!;
        }
      }
      dValues[at + i - 1] = dot + otherDot;
    }
    for (let j = 0; j < d; j++) db_dec[j] = db_dec[j]! + T[j]!;
    if (penalty === undefined) continue;
    let running = 0;
    let q = 0;
    for (let i = 0; i < count; i++) {
      const latent = indices[at + i]!;
      while (q < nReport && lengths[q]! <= latent) sparsity[q] = sparsity[q++]! + running;
      const f = values[at + i]!;
      const s = Math.abs(f) * norms![latent]!;
      const extra = penalty.value(s) - penalty.atZero;
      running += extra;
      const held = C[n]! - C[latent]!;
      loss += attrs.lambda * held * extra;
      const slope = (attrs.lambda * held * penalty.slope(s)) / rows;
      dValues[at + i] = dValues[at + i]! + (f < 0 ? -slope : slope) * norms![latent]!;
      slopeSums![latent] = slopeSums![latent]! + slope * Math.abs(f);
    }
    while (q < nReport) sparsity[q] = sparsity[q++]! + running;
  }

  if (penalty !== undefined) {
    for (let i = 0; i < n; i++) {
      const slope = slopeSums![i]!;
      if (slope === 0 || norms![i] === 0) continue;
      const factor = slope / norms![i]!;
      for (let j = i * d; j < (i + 1) * d; j++) dW_dec[j] = dW_dec[j]! + factor * W_dec[j]!;
    }
    if (penalty.atZero !== 0) {
      let held = 0; // Σ_p w_p p = Σ_i (C(N) − C(i))
      for (let i = 0; i < n; i++) held += C[n]! - C[i]!;
      loss += rows * attrs.lambda * penalty.atZero * held;
    }
  }
  const report = new Float32Array(3 + 2 * nReport);
  report[0] = loss / rows;
  report[1] = active / rows;
  report[2] = variance(x, rows, d);
  for (let q = 0; q < nReport; q++) {
    report[3 + q] = recon[q]! / rows;
    report[3 + nReport + q] = sparsity[q]! / rows + (penalty?.atZero ?? 0) * lengths[q]!;
  }
  return {
    dValues: arrays.make([rows, capacity], dValues),
    dW_dec: arrays.make([n, d], dW_dec),
    db_dec: arrays.make([d], db_dec),
    report: arrays.make([report.length], report),
    ...(residual && { residual: arrays.make([rows, d], residual) }),
  };
};

/** Σ‖x − x̄‖² / B, the denominator of FVU. */
function variance(x: Float32Array, rows: number, d: number): number {
  let sum = 0;
  for (let j = 0; j < d; j++) {
    let mean = 0;
    for (let row = 0; row < rows; row++) mean += x[row * d + j]!;
    mean /= rows;
    for (let row = 0; row < rows; row++) sum += (x[row * d + j]! - mean) ** 2;
  }
  return sum / rows;
}

/** ‖d_i‖ of every latent that some row lists; 0 elsewhere. */
function activeNorms(
  W_dec: Float32Array,
  { indices, counts }: { indices: Int32Array; counts: Int32Array },
  { rows, d, n, capacity }: { rows: number; d: number; n: number; capacity: number },
): Float64Array {
  const norms = new Float64Array(n);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < Math.min(counts[row]!, capacity); i++) {
      const latent = indices[row * capacity + i]!;
      if (norms[latent] !== 0) continue;
      let sum = 0;
      for (let j = latent * d; j < (latent + 1) * d; j++) sum += W_dec[j]! ** 2;
      norms[latent] = Math.sqrt(sum);
    }
  }
  return norms;
}
