import { check, literal, number, object, optional } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PenaltyDefinition } from './definition.ts';

export interface Sqrt {
  readonly kind: 'sqrt';
  /** ε > 0 */
  readonly epsilon: number;
}

/** s = √(u + ε); ε = 0.1 by default. @throws MsaeError `option` unless ε > 0. */
export function sqrtPenalty({ epsilon = 0.1 }: Partial<Omit<Sqrt, 'kind'>> = {}): Sqrt {
  return check(sqrtDefinition.schema, { kind: 'sqrt', epsilon }, 'sqrt penalty');
}

export const sqrtDefinition: PenaltyDefinition<Sqrt> = {
  kind: 'sqrt',
  help: 's = √(u + ε)',
  schema: object<Sqrt>({ kind: literal('sqrt'), epsilon: optional(number({ above: 0, help: 'ε' }), 0.1) }),
  numbers: ({ epsilon }) => ({
    value: (u) => Math.sqrt(u + epsilon),
    slope: (u) => 0.5 / Math.sqrt(u + epsilon),
    atZero: Math.sqrt(epsilon),
  }),
  value: ({ epsilon }, u) => tf.sqrt(tf.add(u, epsilon)),
  slope: ({ epsilon }, u) => tf.div(0.5, tf.sqrt(tf.add(u, epsilon))),
};
