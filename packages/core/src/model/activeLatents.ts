import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';

/**
 * The active latents of a batch: row r lists its `counts[r]` latents in ascending order in `indices[r, 0 …]`, with their
 * activations in `values`; the rest of the row is padding (index N, value 0). The capacity C is the width of the lists.
 */
export interface ActiveLatents {
  /** int32 [B, C] */
  readonly indices: Tensor2D;
  /** float32 [B, C] */
  readonly values: Tensor2D;
  /** int32 [B] */
  readonly counts: Tensor1D;
  /** C */
  readonly capacity: number;
  /** N, which is also the index of padding */
  readonly nLatents: number;
  /** Frees the three tensors. */
  dispose(): void;
}
