/**
 * AuxK (Gao et al. 2024; SAELens `calculate_topk_aux_loss`; dictionary_learning): the k_aux strongest dead latents of each
 * row reconstruct what the living ones left over, with the residual e = x − x̂ held constant:
 *
 *     L_aux = α · scale · mean over rows of ‖ê − e‖² / (mean over rows of ‖e − ē‖²),   ê = Σ_dead f_i d_i (no b_dec)
 *
 * α = `coefficient`, scale = min(n_dead / k_aux, 1). With `perPrefix` every prefix has its own term: the dead latents inside
 * prefix p reconstruct e_p = x − x̂_p, and the terms are averaged with the loss's prefix weights.
 * Only the dead columns are computed: cost O(B · n_dead · d), and nothing is read back.
 */
import { activationTraits, decodePrefixes, encode, type SaeParams } from '@msae/core';
import { flag, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition, PartStep } from './definition.ts';

export interface AuxiliaryLossOptions {
  /** α. Default 1/32. */
  readonly coefficient?: number;
  /** Dead latents used for a row. Default d/2. */
  readonly k?: number;
  /** One term for every prefix instead of one for the full prefix. Default false. */
  readonly perPrefix?: boolean;
  /** Divide by the residual's variance. Default true. */
  readonly normalize?: boolean;
}

/** One reconstruction task: the dead latents among the first `length`, the residual they are to explain, its weight. */
export interface AuxiliaryTask {
  readonly length: number;
  /** [B, d], a constant of the loss. */
  readonly residual: tf.Tensor2D;
  readonly weight: number;
}

export interface AuxiliaryGradients {
  /** [1] */
  readonly loss: tf.Tensor1D;
  /** [d, N], [N], [N, d]: to be added to the main loss's gradients. */
  readonly W_enc: tf.Tensor2D;
  readonly b_enc: tf.Tensor1D;
  readonly W_dec: tf.Tensor2D;
}

/**
 * The auxiliary loss and its gradients, or null when no latent is dead.
 *
 * @param input [B, d]: what the encoder sees (x, or x − b_dec); b_dec gets no gradient from here.
 * @param dead ascending indices of dead latents
 * @param signed whether latents may be active below 0: the strongest are those of the largest magnitude then
 */
export function auxiliaryLoss(
  params: SaeParams,
  input: tf.Tensor2D,
  tasks: readonly AuxiliaryTask[],
  dead: Int32Array,
  options: AuxiliaryLossOptions,
  signed = false,
): AuxiliaryGradients | null {
  const [rows, d] = input.shape;
  const { coefficient = 1 / 32, k = Math.max(1, Math.floor(d / 2)), normalize = true } = options;
  const useful = tasks.filter((task) => dead.some((latent) => latent < task.length) && task.weight > 0);
  if (useful.length === 0) return null;
  const nLatents = params.b_enc.shape[0];
  return tf.tidy(() => {
    const indices = tf.tensor1d(dead, 'int32');
    const W_encT = tf.gather(tf.transpose(params.W_enc), indices) as tf.Tensor2D; // [D, d]
    const W_dec = tf.gather(params.W_dec, indices) as tf.Tensor2D; // [D, d]
    const pre = tf.add(
      tf.matMul(input, tf.transpose(W_encT)),
      tf.gather(params.b_enc, indices),
    ) as tf.Tensor2D;
    const totalWeight = useful.reduce((sum, task) => sum + task.weight, 0);
    let loss: tf.Tensor = tf.zeros([1]);
    let dPre: tf.Tensor | null = null;
    let dW_dec: tf.Tensor | null = null;
    for (const { length, residual, weight } of useful) {
      const within = dead.filter((latent) => latent < length).length;
      const f = strongest(pre, within, k, signed); // [B, D]
      const error = tf.sub(tf.matMul(f, W_dec), residual); // [B, d]
      const variance = normalize
        ? tf.add(tf.mean(tf.sum(tf.square(tf.sub(residual, tf.mean(residual, 0))), 1)), 1e-12)
        : tf.scalar(1);
      const share = (coefficient * Math.min(within / k, 1) * weight) / totalWeight;
      loss = tf.add(loss, tf.div(tf.mul(tf.mean(tf.sum(tf.square(error), 1)), share), variance));
      const gradient = tf.div(tf.mul(error, (2 * share) / rows), variance) as tf.Tensor2D; // ∂L/∂ê [B, d]
      const dF = tf.mul(tf.matMul(gradient, tf.transpose(W_dec)), tf.step(signed ? tf.abs(f) : f));
      dPre = dPre === null ? dF : tf.add(dPre, dF);
      const dDec = tf.matMul(tf.transpose(f), gradient);
      dW_dec = dW_dec === null ? dDec : tf.add(dW_dec, dDec);
    }
    const dp = dPre as tf.Tensor2D;
    const rowsOf = (updates: tf.Tensor2D): tf.Tensor2D =>
      tf.scatterND(tf.reshape(indices, [-1, 1]), updates, [nLatents, d]);
    const biases = tf.reshape(tf.matMul(tf.ones([1, rows]), dp), [-1]);
    return {
      loss: tf.reshape(loss, [1]) as tf.Tensor1D,
      W_enc: tf.transpose(rowsOf(tf.matMul(tf.transpose(dp), input))),
      b_enc: tf.scatterND(tf.reshape(indices, [-1, 1]), biases, [nLatents]) as tf.Tensor1D,
      W_dec: rowsOf(dW_dec as tf.Tensor2D),
    };
  });
}

/** relu(pre), or pre where latents have signs, with all but the k strongest of a row's first `within` columns set to 0. */
function strongest(pre: tf.Tensor2D, within: number, k: number, signed: boolean): tf.Tensor2D {
  const [rows, columns] = pre.shape;
  const inside = (f: tf.Tensor2D): tf.Tensor2D => {
    if (within === columns) return f;
    return tf.mul(f, tf.tensor1d(Float32Array.from({ length: columns }, (_, i) => (i < within ? 1 : 0))));
  };
  const magnitudes = inside(signed ? tf.abs(pre) : tf.relu(pre));
  const f = signed ? inside(pre) : magnitudes;
  if (k >= within) return f;
  const { values } = tf.topk(magnitudes, k, true);
  const smallest = tf.slice(values, [0, k - 1], [rows, 1]);
  return tf.mul(f, tf.cast(tf.greaterEqual(magnitudes, smallest), 'float32'));
}

const schema: Schema<AuxiliaryLossOptions> = object<AuxiliaryLossOptions>(
  {
    coefficient: optional(number({ min: 0, help: 'α' }), 1 / 32),
    k: optional(whole({ min: 1, help: 'dead latents used for a row; default: d/2' })),
    perPrefix: optional(flag({ help: 'a term for every prefix instead of one for the full one' }), false),
    normalize: optional(flag({ help: "divide by the residual's variance" }), true),
  },
  { help: 'AuxK: dead latents explain what the living left over' },
);

export const auxiliaryLossPart: PartDefinition<AuxiliaryLossOptions> = {
  name: 'auxiliaryLoss',
  schema,
  start(given, run) {
    const { sae, options } = run;
    if (options.deadLatents === false) {
      throw msaeError('option', 'auxiliaryLoss needs to know the dead latents; leave deadLatents on');
    }
    const { signed } = activationTraits(sae.config.activation);
    return {
      plan(plan) {
        if (run.dead().length > 0) plan.keepResidual = true;
      },
      gradients(step) {
        const dead = run.dead();
        const { residual, grads } = step.gradients;
        if (dead.length === 0 || residual === undefined) return null;
        const input = sae.config.applyBDecToInput ? tf.sub(step.z, sae.params.b_dec) : tf.clone(step.z);
        const tasks = given.perPrefix
          ? prefixTasks(step)
          : [{ length: sae.config.nLatents, residual: tf.clone(residual), weight: 1 }];
        const added = auxiliaryLoss(sae.params, input as tf.Tensor2D, tasks, dead, given, signed);
        input.dispose();
        for (const task of tasks) task.residual.dispose();
        if (added === null) return null;
        for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) {
          const sum = tf.add(grads[name], added[name]);
          tf.dispose([grads[name], added[name]]);
          grads[name] = sum;
        }
        return added.loss;
      },
    };
  },
};

function prefixTasks({ weights, z, prefixes }: PartStep): AuxiliaryTask[] {
  const residuals = tf.tidy(() => {
    const f = encode(weights, z, { training: true });
    return decodePrefixes(weights, f, prefixes.lengths).map((reconstruction) => tf.sub(z, reconstruction));
  });
  return residuals.map((residual, j) => ({
    length: prefixes.lengths[j]!,
    residual: residual as tf.Tensor2D,
    weight: prefixes.weights[j]!,
  }));
}
