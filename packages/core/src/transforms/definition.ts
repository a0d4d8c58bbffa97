/** What is done to an activation before the weights see it, and undone after them: one step of a {@link Transform}. */
import type { Schema } from '@msae/schema';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';

/** Options of one step, told apart by `kind`. */
export interface TransformOptions {
  readonly kind: string;
}

/**
 * A step that does the same to every row: z = x·A + c with A a number, or a matrix [d, d] (row-major, with its inverse).
 * All in float64.
 */
export interface Affine {
  readonly scale: number;
  readonly matrix?: { readonly forward: Float64Array; readonly inverse: Float64Array };
  /** c [d] */
  readonly offset: Float64Array;
}

/** One kind of step. */
export interface TransformDefinition<T extends TransformOptions> {
  readonly kind: T['kind'];
  /** One line: its formula and who has it. */
  readonly help: string;
  readonly schema: Schema<T>;
  /** Fields that hold numbers by the thousand, with their shapes: they are stored as tensors, not as JSON. */
  arrays?(options: T, width: number): Readonly<Record<string, readonly number[]>>;
  /** x [B, d] → z [B, d] and the way back for outputs of the same rows. Call it inside a tidy. */
  apply(options: T, x: Tensor2D): { z: Tensor2D; undo(z: Tensor): Tensor };
  /** The step as an affine map; absent where it depends on the row. */
  affine?(options: T, width: number): Affine;
}
