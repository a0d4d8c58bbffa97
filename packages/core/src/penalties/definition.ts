/** What a sparsity penalty is: s(u) of u = |f_i| · ‖d_i‖₂, a latent's activation times the norm of its decoder row. */
import type { Schema } from '@msae/schema';
import type { Tensor } from '@tensorflow/tfjs-core';

/** Options of a penalty, told apart by `kind`. Plain data: they survive JSON. */
export interface PenaltyOptions {
  readonly kind: string;
}

/** s and s′ for numbers, one at a time. */
export interface PenaltyNumbers {
  /** s(u) */
  value(u: number): number;
  /** s′(u) */
  slope(u: number): number;
  /** s(0): what a silent latent costs. */
  readonly atZero: number;
}

/** One penalty. `numbers` and the tensors say the same; the conformance suite holds them against each other. */
export interface PenaltyDefinition<P extends PenaltyOptions> {
  readonly kind: P['kind'];
  /** One line: its formula and source. */
  readonly help: string;
  /** Checks its options and fills in their defaults. */
  readonly schema: Schema<P>;
  numbers(options: P): PenaltyNumbers;
  /** s(u), element by element; call it inside a tidy. */
  value(options: P, u: Tensor): Tensor;
  /** s′(u), element by element; call it inside a tidy. */
  slope(options: P, u: Tensor): Tensor;
}
