/**
 * What a batch keeps of its pre-activations: the one language in which activations speak to the dense path and to the sparse
 * kernels. A score is the pre-activation itself, of which only values above 0 count, or its magnitude.
 */
import * as tf from '@tensorflow/tfjs-core';

/** What pre-activations are compared by. */
export type Score = 'value' | 'magnitude';

export type Selection = { readonly score: Score } & (
  | {
      /** The `keep` largest scores of each row; ties go to the lower latent. */
      readonly rule: 'perRow';
      readonly keep: number;
    }
  | {
      /** The `keep` largest scores of the whole batch. */
      readonly rule: 'perBatch';
      readonly keep: number;
    }
  | {
      /** Every score above `cutoff`. */
      readonly rule: 'above';
      readonly cutoff: number;
    }
  | {
      /**
       * Every score above the latent's own threshold θ. Lists go `margin` below it, for the straight-through gradient of θ:
       * entries in between have activation 0.
       */
      readonly rule: 'aboveThreshold';
      readonly margin: number;
    }
);

/** f and where it passes a gradient on, latents along the rows. */
export interface Code {
  /** [N, B] */
  f: tf.Tensor2D;
  /** [N, B], 1 where ∂f/∂pre = 1 and 0 elsewhere; undefined where it is 1 everywhere */
  gate?: tf.Tensor2D;
  /** [N, B], only kept under `aboveThreshold` */
  pre?: tf.Tensor2D;
}

/** Pre-activations in both orientations, each computed when it is asked for. */
export interface PreActivations {
  /** [N, B] */
  byLatent(): tf.Tensor2D;
  /** [B, N] */
  byRow(): tf.Tensor2D;
  readonly rows: number;
  readonly nLatents: number;
  /** [N, 1], the latents' thresholds; needed under `aboveThreshold` */
  readonly threshold?: tf.Tensor2D | undefined;
}

/** Follows a selection with dense tensors: f = pre where it is kept and 0 elsewhere. Call it inside a tidy. */
export function denseCode(selection: Selection | 'all', input: PreActivations): Code {
  if (selection === 'all') return { f: input.byLatent() };
  const { rows: B, nLatents: N } = input;
  switch (selection.rule) {
    case 'above': {
      const pre = input.byLatent();
      if (selection.score === 'value' && selection.cutoff === 0) {
        const f = tf.relu(pre);
        return { f, gate: tf.step<tf.Tensor2D>(f) };
      }
      const gate = tf.step<tf.Tensor2D>(tf.sub(scores(pre, selection.score), selection.cutoff));
      return { f: tf.mul(pre, gate), gate };
    }
    case 'aboveThreshold': {
      const pre = input.byLatent();
      const gate: tf.Tensor2D = tf.step(tf.sub(scores(pre, selection.score), input.threshold!));
      return { f: tf.mul(pre, gate), gate, pre };
    }
    case 'perRow': {
      // By rows of [B, N]; the kept values then go straight to their places in [N, B].
      const pre = input.byRow();
      const { values, indices } = tf.topk(scores(pre, selection.score), selection.keep);
      const row = tf.reshape(tf.range(0, B, 1, 'int32'), [B, 1]);
      const kept =
        selection.score === 'value'
          ? tf.relu(values)
          : tf.gather(tf.reshape(pre, [B * N]), tf.add(indices, tf.mul(row, tf.scalar(N, 'int32'))));
      return scattered(kept, tf.add(tf.mul(indices, tf.scalar(B, 'int32')), row), N, B);
    }
    case 'perBatch': {
      const pre = tf.reshape(input.byLatent(), [N * B]);
      const { values, indices } = tf.topk(scores(pre, selection.score), selection.keep);
      const kept = selection.score === 'value' ? tf.relu(values) : tf.gather(pre, indices);
      return scattered(kept, indices, N, B);
    }
  }
}

/** What is compared: the values, or their magnitudes. */
export function scores<T extends tf.Tensor>(pre: T, score: Score): T {
  return score === 'value' ? pre : tf.abs(pre);
}

/** Kept values at their flat places in [N, B]; zeros elsewhere. Exactly as many as were kept, even with ties. */
function scattered(values: tf.Tensor, at: tf.Tensor, N: number, B: number): Code {
  const kept = tf.reshape(values, [values.size]);
  const f = tf.reshape(tf.scatterND(tf.reshape(at, [at.size, 1]), kept, [N * B]), [N, B]) as tf.Tensor2D;
  return { f, gate: tf.cast(tf.notEqual(f, 0), 'float32') as tf.Tensor2D };
}
