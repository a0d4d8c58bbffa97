/**
 * Sparsity penalties s(u) of u = |f_i| · ‖d_i‖₂, a latent's activation times the norm of its decoder row, and their
 * derivatives: the `S` of the loss in loss.ts.
 */
import * as tf from '@tensorflow/tfjs-core';

export type Penalty =
  | { readonly kind: 'none' }
  /** s = u */
  | { readonly kind: 'l1' }
  /** s = ln(u + ε), minus ln ε if `subtractLogEpsilon`, so that a silent latent costs 0 (no gradient changes). */
  | { readonly kind: 'log'; readonly epsilon: number; readonly subtractLogEpsilon: boolean }
  /** s = √(u + ε) */
  | { readonly kind: 'sqrt'; readonly epsilon: number }
  /** s = tanh(u) */
  | { readonly kind: 'tanh' };

/** No penalty: what TopK and BatchTopK train with. */
export function none(): Penalty {
  return { kind: 'none' };
}

/** The L1 penalty weighted by decoder norms. */
export function l1(): Penalty {
  return { kind: 'l1' };
}

/** The write-up's log penalty, ε = 0.1. @throws RangeError unless ε > 0. */
export function log({
  epsilon = 0.1,
  subtractLogEpsilon = false,
}: {
  epsilon?: number;
  subtractLogEpsilon?: boolean;
} = {}): Penalty {
  return checkPenalty({ kind: 'log', epsilon, subtractLogEpsilon });
}

/** The square-root penalty. @throws RangeError unless ε > 0. */
export function sqrtPenalty({ epsilon = 0.1 }: { epsilon?: number } = {}): Penalty {
  return checkPenalty({ kind: 'sqrt', epsilon });
}

/** The tanh penalty. */
export function tanhPenalty(): Penalty {
  return { kind: 'tanh' };
}

/** @throws RangeError for an unknown kind or an ε that is not above 0. */
export function checkPenalty(penalty: Penalty): Penalty {
  if (!['none', 'l1', 'log', 'sqrt', 'tanh'].includes(penalty.kind)) {
    throw new RangeError(
      `penalty: unknown kind ${JSON.stringify((penalty as { kind?: unknown }).kind)}; expected none, l1, log, sqrt or tanh`,
    );
  }
  if ('epsilon' in penalty && !(penalty.epsilon > 0)) {
    throw new RangeError(`${penalty.kind} penalty: epsilon must be above 0, got ${penalty.epsilon}`);
  }
  return penalty;
}

/** s(u), element by element. */
export function penaltyValue(penalty: Penalty, u: tf.Tensor): tf.Tensor {
  switch (penalty.kind) {
    case 'none':
      return tf.zerosLike(u);
    case 'l1':
      return u;
    case 'log': {
      const s = tf.log(tf.add(u, penalty.epsilon));
      return penalty.subtractLogEpsilon ? tf.sub(s, Math.log(penalty.epsilon)) : s;
    }
    case 'sqrt':
      return tf.sqrt(tf.add(u, penalty.epsilon));
    case 'tanh':
      return tf.tanh(u);
  }
}

/** s′(u), element by element. */
export function penaltySlope(penalty: Penalty, u: tf.Tensor): tf.Tensor {
  switch (penalty.kind) {
    case 'none':
      return tf.zerosLike(u);
    case 'l1':
      return tf.onesLike(u);
    case 'log':
      return tf.div(1, tf.add(u, penalty.epsilon));
    case 'sqrt':
      return tf.div(0.5, tf.sqrt(tf.add(u, penalty.epsilon)));
    case 'tanh':
      return tf.sub(1, tf.square(tf.tanh(u)));
  }
}
