/** Changes to everything that has a latent axis at once: which axis that is, and how entries are read, moved and written. */
import type { ParamName, Sae } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';

const LATENT_AXIS: Readonly<Partial<Record<ParamName, number>>> = {
  W_enc: 1,
  b_enc: 0,
  W_dec: 0,
  threshold: 0,
};

/** New latent i becomes old latent `order[i]`, in each of the variables that has latents. */
export function gatherLatents(
  variables: Iterable<readonly [ParamName, tf.Variable]>,
  order: Int32Array,
): void {
  const indices = tf.tensor1d(order, 'int32');
  for (const [name, variable] of variables) {
    const axis = LATENT_AXIS[name];
    if (axis === undefined) continue;
    const moved = tf.gather(variable, indices, axis);
    variable.assign(moved);
    moved.dispose();
  }
  indices.dispose();
}

/** Flat indices of the latents' entries: columns of W_enc, elements of b_enc, rows of W_dec. */
export function entriesOf(name: 'W_enc' | 'b_enc' | 'W_dec', latents: Int32Array, { params }: Sae): number[] {
  const [rows, columns = 1] = params[name].shape;
  const entries: number[] = [];
  for (const latent of latents) {
    if (name === 'W_enc') for (let j = 0; j < rows; j++) entries.push(j * columns + latent);
    else for (let j = 0; j < columns; j++) entries.push(latent * columns + j);
  }
  return entries;
}

/** The values, for the caller to change. */
export async function copyOf(tensor: tf.Tensor): Promise<Float32Array> {
  return Float32Array.from(await tensor.data());
}

/** Puts values into a variable. */
export function write(variable: tf.Variable, values: Float32Array): void {
  const tensor = tf.tensor(values, variable.shape, 'float32');
  variable.assign(tensor);
  tensor.dispose();
}
