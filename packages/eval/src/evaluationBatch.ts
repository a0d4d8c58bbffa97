/** What is evaluated: batches of activations, and the labels their tokens may have. */

/** What a batch must hold; an `ActivationBatch` of @msae/data fits. Tokens in reading order for contexts that make sense. */
export interface EvaluationBatch {
  /** [rows, width] row-major. */
  readonly data: Float32Array;
  readonly rows: number;
  readonly width: number;
  /** [rows, d_out], what a transcoder is to reconstruct; left out: `data`. */
  readonly target?: Float32Array;
  readonly tokenIds?: Int32Array;
  readonly positions?: Int32Array;
  readonly docIds?: Int32Array;
}

/** A kind of label that tokens have. */
export interface LabelSet {
  /** For people, for instance `part of speech`. */
  readonly name: string;
  readonly names: readonly string[];
  /** The label of every row of a batch, -1 for none; `firstRow` counts rows over all batches. */
  labelsOf(batch: EvaluationBatch, firstRow: number): ArrayLike<number>;
}
