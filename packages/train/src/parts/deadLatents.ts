/**
 * Since when each latent has been silent. Firing counts are summed on the device; every `refreshEvery` steps they are
 * read back once and turned into tokens since the last firing, so the resolution is that of a refresh.
 */
import { object, optional, type Schema, whole } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';

export interface DeadLatentState {
  /** [N] tokens since the last refresh in which the latent fired. */
  readonly silentFor: Float64Array;
  readonly pendingTokens: number;
}

export interface DeadLatentTracker {
  /** Add the rows in which each latent fired, int32 or float32 [N]; `rows` is the batch size. Keeps nothing of `fired`. */
  add(fired: tf.Tensor1D, rows: number): void;
  /** Bring the counters up to date with the counts read back from `pending()`, which start again from 0. */
  refresh(fired: ArrayLike<number>): void;
  /** Latents silent for at least `afterTokens` tokens, ascending, as of the last refresh. */
  dead(): Int32Array;
  /** Give latents a new life (after resampling). */
  revive(latents: ArrayLike<number>): void;
  /** Reorder: new latent i is old latent `order[i]`. */
  permute(order: Int32Array): void;
  state(): DeadLatentState;
  /** float32 [N]: firing counts since the last refresh; null when there are none. Owned by the tracker. */
  pending(): tf.Tensor1D | null;
  restore(state: DeadLatentState, pending: Float32Array | null): void;
  dispose(): void;
}

export function createDeadLatentTracker(nLatents: number, afterTokens: number): DeadLatentTracker {
  let silentFor = new Float64Array(nLatents);
  let counts: tf.Tensor1D | null = null;
  let pendingTokens = 0;
  let deadList = new Int32Array(0);
  const list = (): void => {
    const found: number[] = [];
    for (let i = 0; i < nLatents; i++) if ((silentFor[i] as number) >= afterTokens) found.push(i);
    deadList = Int32Array.from(found);
  };
  return {
    add(fired, rows) {
      const old = counts;
      counts = tf.tidy(() => {
        const added = fired.dtype === 'float32' ? fired : tf.cast(fired, 'float32');
        return tf.keep(old === null ? tf.clone(added) : tf.add(old, added)) as tf.Tensor1D;
      });
      old?.dispose();
      pendingTokens += rows;
    },
    refresh(fired) {
      for (let i = 0; i < nLatents; i++) {
        silentFor[i] = (fired[i] as number) > 0 ? 0 : (silentFor[i] as number) + pendingTokens;
      }
      counts?.dispose();
      counts = null;
      pendingTokens = 0;
      list();
    },
    dead: () => deadList,
    revive(latents) {
      for (let i = 0; i < latents.length; i++) silentFor[latents[i] as number] = 0;
      list();
    },
    permute(order) {
      silentFor = Float64Array.from(order, (old) => silentFor[old] as number);
      if (counts !== null) {
        const old = counts;
        counts = tf.tidy(() => tf.keep(tf.gather(old, tf.tensor1d(order, 'int32'))) as tf.Tensor1D);
        old.dispose();
      }
      list();
    },
    state: () => ({ silentFor: silentFor.slice(), pendingTokens }),
    pending: () => counts,
    restore(state, pending) {
      silentFor = Float64Array.from(state.silentFor);
      pendingTokens = state.pendingTokens;
      counts?.dispose();
      counts = pending === null ? null : tf.tensor1d(pending);
      list();
    },
    dispose() {
      counts?.dispose();
      counts = null;
    },
  };
}

export interface DeadLatentOptions {
  /** A latent that has not fired for this many rows (tokens) is dead. Default 1e6. */
  readonly afterTokens?: number;
  /** Steps between two looks at the counters (one small readback each). Default: the report's rhythm. */
  readonly refreshEvery?: number;
}

const schema: Schema<DeadLatentOptions> = object<DeadLatentOptions>(
  {
    afterTokens: optional(
      whole({ min: 1, help: 'rows without firing after which a latent is dead' }),
      1_000_000,
    ),
    refreshEvery: optional(
      whole({ min: 1, help: 'steps between two looks at the counters; default: those of a report' }),
    ),
  },
  { help: 'count since when a latent has been silent' },
);

export const deadLatentsPart: PartDefinition<DeadLatentOptions> = {
  name: 'deadLatents',
  schema,
  start({ afterTokens = 1_000_000, refreshEvery }, { sae, options }) {
    const { nLatents } = sae.config;
    const tracker = createDeadLatentTracker(nLatents, afterTokens);
    const every = refreshEvery ?? options.reportEvery;
    return {
      updated: ({ gradients, rows }) => tracker.add(gradients.firings, rows),
      read: ({ done, report, freshDead }) => ({
        firings: done % every === 0 || report || freshDead ? tracker.pending() : null,
      }),
      observe({ values }) {
        if (values.firings) tracker.refresh(values.firings);
      },
      metrics: () => ({ deadFraction: tracker.dead().length / nLatents }),
      dead: () => tracker.dead(),
      revive: (latents) => tracker.revive(latents),
      permute: (order) => tracker.permute(order),
      save() {
        const { silentFor, pendingTokens } = tracker.state();
        return { json: { pendingTokens }, tensors: { silent_for: silentFor, firings: tracker.pending() } };
      },
      async restore(saved) {
        if (!saved.has('silent_for')) return;
        const silentFor = await saved.float64('silent_for', [nLatents]);
        const firings = saved.has('firings') ? await saved.float32('firings', [nLatents]) : null;
        const { pendingTokens } = saved.json as { pendingTokens: number };
        tracker.restore({ silentFor, pendingTokens }, firings);
      },
      dispose: () => tracker.dispose(),
    };
  },
};
