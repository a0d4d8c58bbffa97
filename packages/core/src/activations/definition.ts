/** What an activation function is to the rest of the code: its options, its traits, and what it keeps of a batch. */
import type { Schema } from '@msae/schema';
import type { Selection } from '../kernels/selection.ts';

/** Options of an activation, told apart by `kind`. Plain data: they survive JSON. */
export interface ActivationOptions {
  readonly kind: string;
}

/** What one encoding knows when it asks an activation what to keep. */
export interface SelectAt {
  /** B, rows of the batch */
  readonly rows: number;
  /** N */
  readonly nLatents: number;
  /** A training batch, as opposed to inference. */
  readonly training: boolean;
  /** The threshold that training found for inference (see `needsThreshold`). @throws MsaeError `missing` if there is none yet */
  inferenceThreshold(): number;
}

/** What callers may want to know without knowing the kind. Whatever is absent does not hold. */
export interface ActivationTraits<A> {
  /** Mean number of active latents of a row, where the activation itself fixes it. */
  fixedL0?(options: A): number;
  /** The same activation with another fixed L0 (k annealing); present with `fixedL0`. */
  withL0?(options: A, l0: number): A;
  /** A threshold per latent is a parameter of the SAE: its first value, and the width of the straight-through window. */
  learnsThreshold?(options: A): { readonly initial: number; readonly bandwidth: number };
  /** Inference keeps what exceeds a threshold that training measures: the running mean of a batch's smallest kept value. */
  readonly needsThreshold?: true;
  /** Activations below 0 exist. */
  readonly signed?: true;
  /** Nothing is ever inactive: `select` answers 'all'. */
  readonly selectsAll?: true;
}

/**
 * One activation function. A definition says what is kept; the dense path (kernels/selection.ts) and the sparse kernels
 * follow the same {@link Selection}. f = pre where a latent is kept and 0 elsewhere; the gradient passes where it is kept.
 */
export interface ActivationDefinition<A extends ActivationOptions> {
  readonly kind: A['kind'];
  /** One line: what it keeps, and its source. */
  readonly help: string;
  /** Checks its options and fills in their defaults. */
  readonly schema: Schema<A>;
  readonly traits: ActivationTraits<A>;
  /** What is kept of a batch's pre-activations; 'all' leaves nothing inactive, so that only the dense path exists. */
  select(options: A, at: SelectAt): Selection | 'all';
}

/** Lets a definition be written with its own type and stand in the table with all others. */
export function defineActivation<A extends ActivationOptions>(
  definition: ActivationDefinition<A>,
): ActivationDefinition<A> {
  return definition;
}
