import { check, flag, literal, number, object, optional } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PenaltyDefinition } from './definition.ts';

export interface Log {
  readonly kind: 'log';
  /** ε > 0 */
  readonly epsilon: number;
  /** Subtract ln ε, so that a silent latent costs 0 (no gradient changes). */
  readonly subtractLogEpsilon: boolean;
}

/** s = ln(u + ε), the write-up's penalty; ε = 0.1 by default. @throws MsaeError `option` unless ε > 0. */
export function log({ epsilon = 0.1, subtractLogEpsilon = false }: Partial<Omit<Log, 'kind'>> = {}): Log {
  return check(logDefinition.schema, { kind: 'log', epsilon, subtractLogEpsilon }, 'log penalty');
}

export const logDefinition: PenaltyDefinition<Log> = {
  kind: 'log',
  help: "s = ln(u + ε): the write-up's penalty",
  schema: object<Log>({
    kind: literal('log'),
    epsilon: optional(number({ above: 0, help: 'ε' }), 0.1),
    subtractLogEpsilon: optional(flag({ help: 'a silent latent costs 0 instead of ln ε' }), false),
  }),
  numbers({ epsilon, subtractLogEpsilon }) {
    const base = subtractLogEpsilon ? Math.log(epsilon) : 0;
    return {
      value: (u) => Math.log(u + epsilon) - base,
      slope: (u) => 1 / (u + epsilon),
      atZero: Math.log(epsilon) - base,
    };
  },
  value({ epsilon, subtractLogEpsilon }, u) {
    const s = tf.log(tf.add(u, epsilon));
    return subtractLogEpsilon ? tf.sub(s, Math.log(epsilon)) : s;
  },
  slope: ({ epsilon }, u) => tf.div(1, tf.add(u, epsilon)),
};
