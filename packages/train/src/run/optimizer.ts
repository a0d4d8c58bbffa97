/**
 * Adam and AdamW with moments kept by parameter name. One fused kernel call (`MsaeAdam` of @msae/core) updates a parameter and
 * both moments in place; clipping by the global norm is a 1-element tensor handed to it, so nothing is read back.
 * Constants and bias correction as PyTorch: w −= lr · (m̂ / (√v̂ + ε) + weightDecay · w).
 */
import type { ParamName, Sae, SaeGradients } from '@msae/core';
import { adamKernel, globalNormKernel } from '@msae/core/backend';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { OptimizerOptions, ParameterGroup } from '../options.ts';
import { copyOf, entriesOf, write } from '../parts/rewriteLatents.ts';

/** A parameter and its moments, all of one shape. */
export interface ParameterSlots {
  readonly param: tf.Variable;
  readonly m: tf.Variable;
  readonly v: tf.Variable;
}

export interface UpdateOptions {
  /** The scheduled learning rate of this step, before the groups' factors. */
  readonly learningRate: number;
  /** Largest global norm of all gradients; null leaves them as they are. */
  readonly gradClipNorm: number | null;
  /** Return the norm even when nothing is clipped. */
  readonly needNorm?: boolean;
}

export interface Optimizer {
  /** Updates done. */
  readonly iterations: number;
  readonly slots: ReadonlyMap<ParamName, ParameterSlots>;
  /** One update from gradients by parameter name. Returns the global norm before clipping ([1], the caller's), or null. */
  update(grads: SaeGradients, options: UpdateOptions): tf.Tensor1D | null;
  /** These latents' moments start again from 0. */
  revive(latents: Int32Array): Promise<void>;
  setIterations(iterations: number): void;
  /** Frees the moments, not the parameters. */
  dispose(): void;
}

export function createOptimizer(
  sae: Sae,
  options: OptimizerOptions = {},
  groups: Partial<Record<ParamName, ParameterGroup>> = {},
): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  for (const name of Object.keys(groups)) {
    if (groups[name as ParamName] !== undefined && !(name in sae.params)) {
      throw msaeError(
        'option',
        `parameterGroups: this SAE has no parameter ${JSON.stringify(name)}; it has ${Object.keys(sae.params).join(', ')}`,
      );
    }
  }
  const slots = new Map<ParamName, ParameterSlots>();
  for (const [name, param] of Object.entries(sae.params) as [ParamName, tf.Variable][]) {
    const zeros = (): tf.Variable => tf.tidy(() => tf.variable(tf.zeros(param.shape), false));
    slots.set(name, { param, m: zeros(), v: zeros() });
  }
  const one = tf.tensor1d([1]);
  let iterations = 0;
  return {
    get iterations() {
      return iterations;
    },
    slots,
    update(grads, { learningRate, gradClipNorm, needNorm = false }) {
      iterations++;
      const norm = gradClipNorm !== null || needNorm ? globalNormKernel.run(present(grads), {}).norm : null;
      // As torch.nn.utils.clip_grad_norm_: the gradient times min(1, max norm / (norm + 1e-6)).
      const scale =
        gradClipNorm !== null && norm !== null
          ? tf.tidy(() => tf.minimum(tf.div(gradClipNorm, tf.add(norm, 1e-6)), one) as tf.Tensor1D)
          : one;
      for (const [name, { param, m, v }] of slots) {
        const grad = grads[name];
        const group = groups[name];
        const rate = learningRate * (group?.learningRateFactor ?? 1);
        if (grad === undefined || group?.learningRateFactor === 0) continue;
        adamKernel.run(
          { param, m, v, grad, scale },
          {
            learningRate: rate,
            beta1,
            beta2,
            epsilon,
            weightDecay: group?.weightDecay ?? weightDecay,
            step: iterations,
          },
        );
      }
      if (scale !== one) scale.dispose();
      return norm;
    },
    async revive(latents) {
      for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) {
        const entries = entriesOf(name, latents, sae);
        const { m, v } = slots.get(name)!;
        for (const moment of [m, v]) {
          const values = await copyOf(moment);
          for (const i of entries) values[i] = 0;
          write(moment, values);
        }
      }
    },
    setIterations(value) {
      iterations = value;
    },
    dispose() {
      one.dispose();
      for (const { m, v } of slots.values()) tf.dispose([m, v]);
    },
  };
}

function present(grads: SaeGradients): Record<string, tf.Tensor> {
  const all: Record<string, tf.Tensor> = {};
  for (const [name, grad] of Object.entries(grads)) if (grad !== undefined) all[name] = grad;
  return all;
}
