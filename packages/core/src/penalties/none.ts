import { literal, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PenaltyDefinition } from './definition.ts';

export interface None {
  readonly kind: 'none';
}

/** No penalty: what TopK and BatchTopK train with. */
export function none(): None {
  return { kind: 'none' };
}

export const noneDefinition: PenaltyDefinition<None> = {
  kind: 'none',
  help: 'no penalty: for activations that are sparse by themselves',
  schema: object<None>({ kind: literal('none') }),
  numbers: () => ({ value: () => 0, slope: () => 0, atZero: 0 }),
  value: (_, u) => tf.zerosLike(u),
  slope: (_, u) => tf.zerosLike(u),
};
