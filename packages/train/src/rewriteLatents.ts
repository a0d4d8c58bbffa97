/** Changes to everything that has a latent axis at once: parameters, both moments, averaged weights. */
import type { Sae } from '@msae/core';
import type { Rng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import type { Optimizer } from './optimizer.ts';
import type { ParameterName } from './options.ts';
import { type ResamplingOptions, resampleLatents } from './resampling.ts';
import type { WeightAverage } from './weightAverage.ts';

/** What belongs to the latents of one SAE in training. */
export interface LatentOwners {
  readonly sae: Sae;
  readonly optimizer: Optimizer;
  readonly weightAverage: WeightAverage | null;
}

const LATENT_AXIS: Readonly<Partial<Record<ParameterName, number>>> = {
  W_enc: 1,
  b_enc: 0,
  W_dec: 0,
  threshold: 0,
};

/** New latent i becomes old latent `order[i]`, moments and averaged weights with it. */
export function permuteLatents({ optimizer, weightAverage }: LatentOwners, order: Int32Array): void {
  const indices = tf.tensor1d(order, 'int32');
  for (const [name, { param, m, v }] of optimizer.slots) {
    const axis = LATENT_AXIS[name];
    if (axis === undefined) continue;
    for (const variable of [param, m, v, weightAverage?.variables.get(name)]) {
      if (variable === undefined) continue;
      const moved = tf.gather(variable, indices, axis);
      variable.assign(moved);
      moved.dispose();
    }
  }
  indices.dispose();
}

/**
 * Resamples dead latents on the host: their weights (averaged ones too) are rewritten, their moments start again from 0.
 *
 * @param batch x and x − x̂, both [B, d]
 */
export async function rewriteLatents(
  { sae, optimizer, weightAverage }: LatentOwners,
  batch: { readonly x: tf.Tensor2D; readonly residual: tf.Tensor2D },
  dead: Int32Array,
  options: ResamplingOptions,
  rng: Rng,
): Promise<void> {
  const { W_enc, b_enc, W_dec } = sae.params;
  const weights = { W_enc: await copyOf(W_enc), b_enc: await copyOf(b_enc), W_dec: await copyOf(W_dec) };
  const rows = { x: await copyOf(batch.x), residual: await copyOf(batch.residual), width: sae.config.dModel };
  resampleLatents(weights, rows, dead, options, rng);
  for (const [name, { param, m, v }] of optimizer.slots) {
    if (name === 'b_dec' || name === 'threshold') continue;
    const source = weights[name];
    const entries = entriesOf(name, dead, sae);
    write(param, source);
    for (const moment of [m, v]) {
      const values = await copyOf(moment);
      for (const i of entries) values[i] = 0;
      write(moment, values);
    }
    const average = weightAverage?.variables.get(name);
    if (average === undefined) continue;
    const values = await copyOf(average);
    for (const i of entries) values[i] = source[i] as number;
    write(average, values);
  }
}

/** Flat indices of the latents' entries: columns of W_enc, elements of b_enc, rows of W_dec. */
function entriesOf(name: 'W_enc' | 'b_enc' | 'W_dec', latents: Int32Array, sae: Sae): number[] {
  const { dModel, nLatents } = sae.config;
  if (name === 'b_enc') return [...latents];
  const entries: number[] = [];
  for (const latent of latents) {
    for (let j = 0; j < dModel; j++)
      entries.push(name === 'W_enc' ? j * nLatents + latent : latent * dModel + j);
  }
  return entries;
}

async function copyOf(tensor: tf.Tensor): Promise<Float32Array> {
  return Float32Array.from(await tensor.data());
}

function write(variable: tf.Variable, values: Float32Array): void {
  const tensor = tf.tensor(values, variable.shape, 'float32');
  variable.assign(tensor);
  tensor.dispose();
}
