import { literal, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PenaltyDefinition } from './definition.ts';

export interface Tanh {
  readonly kind: 'tanh';
}

/** s = tanh(u), which stops growing where a latent is clearly active. */
export function tanhPenalty(): Tanh {
  return { kind: 'tanh' };
}

export const tanhDefinition: PenaltyDefinition<Tanh> = {
  kind: 'tanh',
  help: 's = tanh(u): counts a latent rather than its size',
  schema: object<Tanh>({ kind: literal('tanh') }),
  numbers: () => ({ value: Math.tanh, slope: (u) => 1 - Math.tanh(u) ** 2, atZero: 0 }),
  value: (_, u) => tf.tanh(u),
  slope: (_, u) => tf.sub(1, tf.square(tf.tanh(u))),
};
