import { literal, object } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PenaltyDefinition } from './definition.ts';

export interface L1 {
  readonly kind: 'l1';
}

/** s = u: the L1 penalty weighted by decoder norms. */
export function l1(): L1 {
  return { kind: 'l1' };
}

export const l1Definition: PenaltyDefinition<L1> = {
  kind: 'l1',
  help: 's = u: L1, weighted by decoder norms',
  schema: object<L1>({ kind: literal('l1') }),
  numbers: () => ({ value: (u) => u, slope: () => 1, atZero: 0 }),
  value: (_, u) => u,
  slope: (_, u) => tf.onesLike(u),
};
