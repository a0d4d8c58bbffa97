/**
 * The Matryoshka loss, dense path. With x̂_p = b_dec + Σ_{i<p} f_i d_i (of a target other than x: ŷ_p and y below),
 *
 *     L = Σ_p w_p (R_p + λ S_p)      R_p = mean over rows of ‖x − x̂_p‖²      S_p = mean over rows of Σ_{i<p} s(|f_i|·‖d_i‖)
 *
 * Block j holds the latents between two prefixes, [p_{j−1}, p_j). Its output δ_j = f_block W_dec_block is computed once and
 * x̂_{p_j} = b_dec + δ_0 + … + δ_j is a running sum: all prefixes together cost one vanilla SAE. Backward, with r_j = x̂_{p_j} − x
 * and the suffix sum G_j = Σ_{i≥j} w_i · 2 r_i / B,
 *
 *     ∂L/∂f_block = G_j W_dec_blockᵀ + λ T ∂s/∂f      ∂L/∂W_dec_block = f_blockᵀ G_j + λ T ∂s/∂d      ∂L/∂b_dec = Σ_rows G_0
 *
 * where T_i = Σ_{p>i} w_p. A second weight vector v may replace w in the gradients of W_dec and b_dec (not in the penalty):
 * where v < w, a prefix trains the encoder only. No tape, no registered gradients: plain tfjs-core ops on every backend.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkFits } from '../checks.ts';
import type { Code } from '../kernels/selection.ts';
import { activate, encoderInput, selectionOf } from '../model/encode.ts';
import type { Sae } from '../model/sae.ts';
import { l0PenaltyTerms } from './l0Penalty.ts';
import { column, matMulNT, matMulTN, rowSums, rows, sumOfSquares } from './linalg.ts';
import { penaltyGradients, penaltySums } from './penaltyGradients.ts';
import {
  checkLoss,
  type LossOptions,
  type MatryoshkaStep,
  type SaeGradients,
  type StepOptions,
  stepInputs,
  type TargetOptions,
} from './step.ts';
import { thresholdGradient } from './thresholdGradient.ts';

/**
 * The loss and all of its gradients in one pass, without a tape. Its numbers are in the units that the weights see: those of x
 * where the SAE has no transform.
 *
 * @param x [B, d], float32, raw
 * @throws MsaeError for bad shapes, prefixes, weights or a batch too large for the device.
 */
export function matryoshkaStep(sae: Sae, x: tf.Tensor, options: StepOptions): MatryoshkaStep {
  checkLoss(sae, options);
  checkFits('latents', [sae.config.nLatents, x.shape[0]!]);
  const tensors = tf.tidy(() => {
    const pass = forward(sae, stepInputs(sae, x, options), options);
    const result: Omit<MatryoshkaStep, 'reported'> = {
      metrics: pass.metrics,
      grads: backward(sae, pass, options),
      firings: pass.firings,
    };
    if (options.keepResidual) result.residual = tf.transpose(tf.neg(pass.r.at(-1)!));
    if (options.keepContributions) {
      const squares = tf.div(rowSums(tf.square(pass.code.f)), x.shape[0]!);
      result.contributions = tf.mul(squares, tf.square(tf.reshape(pass.norms, [-1])));
    }
    const selection = selectionOf(sae, x.shape[0]!, true);
    if (selection !== 'all' && selection.rule === 'perBatch') result.smallestKept = smallestKept(pass.code);
    return result as typeof result & tf.TensorContainerObject;
  });
  return { ...tensors, reported: options.prefixes.lengths };
}

/**
 * The loss and its parts without gradients: the metrics of {@link matryoshkaStep}.
 *
 * @returns [3 + 2P], see {@link readMetrics}
 */
export function lossParts(sae: Sae, x: tf.Tensor, options: LossOptions & TargetOptions): tf.Tensor1D {
  checkLoss(sae, options);
  checkFits('latents', [sae.config.nLatents, x.shape[0]!]);
  return tf.tidy(() => forward(sae, stepInputs(sae, x, options), options, false).metrics);
}

/** The smallest magnitude that is kept, [1]; 0 where nothing is. */
function smallestKept({ f, gate }: Code): tf.Tensor1D {
  const size = tf.abs(f);
  const smallest = tf.min(tf.add(size, tf.mul(tf.sub(1, gate!), 3e38)));
  return tf.reshape(tf.mul(smallest, tf.step(tf.max(size))), [1]);
}

/** The latents between two prefixes, cut out once for both ways. */
interface Block {
  /** [n, B] */
  f: tf.Tensor2D;
  /** [n, d] */
  W_dec: tf.Tensor2D;
}

interface Pass {
  code: Code;
  /** One for each prefix; undefined where two prefixes have no latent between them (length 0). */
  blocks: (Block | undefined)[];
  /** What the encoder saw, [d, B]. */
  seen: tf.Tensor2D;
  /** ‖d_i‖, [N, 1] */
  norms: tf.Tensor2D;
  /** r_j = ŷ_{p_j} − y, [d_out, B]; undefined where it is cheaper to go back to it by subtracting a block. */
  r: (tf.Tensor2D | undefined)[];
  firings: tf.Tensor1D;
  l0: tf.Scalar;
  metrics: tf.Tensor1D;
}

function forward(
  sae: Sae,
  { z, target }: { z: tf.Tensor2D; target: tf.Tensor2D },
  options: LossOptions,
  keep = true,
): Pass {
  const { lengths, weights } = options.prefixes;
  const { W_dec, b_dec } = sae.params;
  const { penalty, nLatents: N } = sae.config;
  const [B, d] = target.shape;
  const lambda = options.penaltyCoefficient ?? 0;
  const yT = tf.transpose(target);
  const seen = encoderInput(sae, target === z ? yT : tf.transpose(z));
  const code = activate(sae, seen, true);
  const norms = tf.sqrt(tf.sum(tf.square(W_dec), 1, true)) as tf.Tensor2D;
  const held = keep ? heldResiduals(lengths, Math.max(1, Math.floor(N / d))) : new Set<number>();
  const latentPenalty = tf.tidy(() => tf.div(penaltySums(penalty, code.f, norms), B)); // [N]

  const r: (tf.Tensor2D | undefined)[] = [];
  const recon: tf.Scalar[] = [];
  const sparsity: tf.Scalar[] = [];
  let current: tf.Tensor2D = tf.sub(column(b_dec), yT);
  let penaltySoFar: tf.Scalar = tf.scalar(0);
  const blocks: (Block | undefined)[] = [];
  for (let j = 0, from = 0; j < lengths.length; from = lengths[j]!, j++) {
    const to = lengths[j]!;
    if (to > from) {
      const before = current;
      const block = { f: rows(code.f, from, to), W_dec: rows(W_dec, from, to) };
      current = tf.tidy(() => tf.add(before, delta(block))); // [d, B]
      if (keep) blocks[j] = block;
      else tf.dispose([block.f, block.W_dec]);
      if (j === 0 || !held.has(j - 1)) before.dispose();
      const sum = penaltySoFar;
      penaltySoFar = tf.tidy(() => tf.add(sum, tf.sum(tf.slice(latentPenalty, from, to - from))));
    }
    r[j] = held.has(j) || j === lengths.length - 1 ? current : undefined;
    recon.push(tf.tidy(() => tf.div(sumOfSquares(current), B)));
    sparsity.push(penaltySoFar);
  }

  const firings: tf.Tensor1D = code.gate ? rowSums(code.gate) : tf.fill([N], B);
  const l0 = tf.div(tf.sum(firings), B) as tf.Scalar;
  const metrics = tf.tidy(() => {
    const R = tf.stack(recon) as tf.Tensor1D;
    const S = tf.stack(sparsity) as tf.Tensor1D;
    const w = tf.tensor1d(Float32Array.from(weights));
    const loss = tf.sum(tf.mul(w, tf.add(R, tf.mul(S, lambda))));
    const variance = tf.div(sumOfSquares(tf.sub(yT, tf.mean(yT, 1, true))), B);
    return tf.concat1d([
      tf.reshape(options.l0Penalty ? tf.add(loss, l0PenaltyTerms(options.l0Penalty, l0).loss) : loss, [1]),
      tf.reshape(l0, [1]),
      tf.reshape(variance, [1]),
      R,
      S,
    ]);
  });
  return { code, blocks, seen, norms, r, firings, l0, metrics };
}

function backward(sae: Sae, pass: Pass, options: LossOptions): SaeGradients {
  const { lengths, weights } = options.prefixes;
  const { W_enc } = sae.params;
  const { f, gate } = pass.code;
  const B = f.shape[1];
  const v = options.decoderPrefixWeights;
  const scale = 2 / B;

  // Walk the blocks backwards: G_j grows by one residual a block.
  const df: tf.Tensor2D[] = [];
  const dW: tf.Tensor2D[] = [];
  let r = pass.r.at(-1)!;
  let G: tf.Tensor2D | undefined;
  let Gv: tf.Tensor2D | undefined;
  for (let j = lengths.length - 1; j >= 0; j--) {
    const block = pass.blocks[j];
    G = suffix(G, r, scale * weights[j]!);
    Gv = v ? suffix(Gv, r, scale * v[j]!) : G;
    if (block) {
      const [g, gv] = [G, Gv];
      df.unshift(tf.matMul(block.W_dec, g)); // [n, B]
      dW.unshift(matMulNT(block.f, gv)); // [n, d]
    }
    if (j > 0) {
      const after = r;
      r = pass.r[j - 1] ?? (block ? tf.tidy(() => tf.sub(after, delta(block))) : after);
    }
    if (block) tf.dispose([block.f, block.W_dec]);
  }

  const penalty = penaltyGradients(sae, pass, options);
  const decoder = concatRows(dW);
  const W_dec_grad = penalty ? tf.add(decoder, penalty.W_dec) : decoder;
  const toCode: tf.Tensor2D = penalty ? tf.add(concatRows(df), penalty.f) : concatRows(df); // ∂L/∂f, [N, B]
  const toPre: tf.Tensor2D = gate ? tf.mul(toCode, gate) : toCode;
  const b_enc = rowSums(toPre);
  let b_dec: tf.Tensor = rowSums(Gv!);
  if (sae.config.applyBDecToInput) {
    b_dec = tf.sub(b_dec, tf.reshape(tf.matMul(W_enc, column(b_enc)), [-1]));
  }
  const grads: SaeGradients = {
    W_enc: tf.tidy(() => tf.transpose(matMulNT(toPre, pass.seen))), // [d, N]
    b_enc,
    W_dec: W_dec_grad,
    b_dec,
  };
  if (sae.params.threshold) grads.threshold = thresholdGradient(sae, pass, toCode, options);
  return grads;
}

/** δ_jᵀ = W_dec_blockᵀ f_block, [d_out, B]. */
function delta({ f, W_dec }: Block): tf.Tensor2D {
  return matMulTN(W_dec, f);
}

function suffix(G: tf.Tensor2D | undefined, r: tf.Tensor2D, weight: number): tf.Tensor2D {
  return tf.tidy(() => (G ? tf.add(G, tf.mul(r, weight)) : tf.mul(r, weight)));
}

function concatRows(blocks: tf.Tensor2D[]): tf.Tensor2D {
  return blocks.length === 1 ? blocks[0]! : tf.concat2d(blocks, 0);
}

/**
 * Which r_j to hold for the way back. Holding all of them is O(P·B·d); at most `room` keeps it within O(B·N). The others are
 * found again from r_{j+1} − δ_{j+1}, so those before the widest blocks are held.
 */
function heldResiduals(lengths: ArrayLike<number>, room: number): Set<number> {
  const last = lengths.length - 1;
  const inner = Array.from({ length: last }, (_, j) => j);
  if (last > room) {
    inner.sort((a, b) => lengths[b + 1]! - lengths[b]! - (lengths[a + 1]! - lengths[a]!)).splice(room);
  }
  return new Set(inner);
}
