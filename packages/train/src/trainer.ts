/**
 * The trainer: an SAE, options, and a source of activations in; typed events out. It never prints, takes an AbortSignal,
 * leaves the event loop breathing, and resumes from a checkpoint bit for bit.
 */
import type { Sae } from '@msae/core';
import { type Batch, type BatchSource, type BatchStream, openBatches } from './batchStream.ts';
import { type CheckpointState, checkpointFiles, readCheckpointState, restoreSession } from './checkpoint.ts';
import type { CheckpointStorage } from './checkpointStorage.ts';
import { CheckpointWriter, emptySae, findCheckpoint } from './checkpointWriter.ts';
import { breather } from './eventLoop.ts';
import type { DoneEvent, TrainerEvent } from './events.ts';
import { type ExportedSae, exportSae, inputScale } from './exportSae.ts';
import type { TrainerOptions } from './options.ts';
import { changedOptions, optionsSummary } from './optionsSummary.ts';
import { resolveOptions } from './resolveOptions.ts';
import { createSession, type Session, syncThreshold, warning } from './session.ts';
import { trainStep } from './trainStep.ts';

/** The sessions of trainers, for TrainerGroup. */
export const sessionOf: WeakMap<Trainer, Session> = new WeakMap();

export interface RunOptions {
  /** Stops the run after the current step; a checkpoint is written if there is a storage. */
  readonly signal?: AbortSignal;
}

/**
 * Trains one SAE.
 *
 * @example
 * ```ts
 * const sae = createSae({ dModel: 768, nLatents: 24576, activation: topK(32) });
 * const trainer = new Trainer(sae, { totalSteps: 10_000 });
 * for await (const event of trainer.run(activations)) {
 *   if (event.type === 'metrics') console.log(event.step, event.fvu);
 * }
 * ```
 */
export class Trainer {
  readonly sae: Sae;
  readonly #session: Session;
  #resumed: CheckpointState | null = null;
  #ownsSae = false;

  /** @throws RangeError or TypeError for options that cannot work, one clear message each. */
  constructor(sae: Sae, options: TrainerOptions) {
    this.sae = sae;
    this.#session = createSession(sae, resolveOptions(sae.config, options));
    sessionOf.set(this, this.#session);
  }

  /**
   * Continues a run from the newest checkpoint of `options.checkpoints.storage` (or the one called `name`). The SAE is made
   * from the checkpoint, and `dispose` frees it.
   *
   * @throws Error when there is no checkpoint, or it is damaged, of another version, or of another SAE.
   */
  static async resume(options: TrainerOptions, { name }: { name?: string } = {}): Promise<Trainer> {
    const storage = options.checkpoints?.storage;
    if (storage === undefined)
      throw new TypeError('Trainer.resume: options.checkpoints.storage is needed to resume from');
    const found = await findCheckpoint(storage, name);
    const state = await readCheckpointState(storage, found);
    const sae = emptySae(state);
    try {
      const trainer = new Trainer(sae, options);
      await trainer.#restore(state, storage, found);
      trainer.#ownsSae = true;
      return trainer;
    } catch (error) {
      sae.dispose();
      throw error;
    }
  }

  async #restore(state: CheckpointState, storage: CheckpointStorage, name: string): Promise<void> {
    try {
      await restoreSession(this.#session, state, storage, name);
    } catch (error) {
      this.#session.dispose();
      throw error;
    }
    this.#resumed = state;
  }

  /** Steps done. */
  get step(): number {
    return this.#session.step;
  }

  /** Rows seen. */
  get tokens(): number {
    return this.#session.tokens;
  }

  /**
   * Trains until `totalSteps`, the end of the source, or an abort. Tensors that the source yields are disposed of after
   * their step. Leaving the loop early (`break`) stops training; a later `run` goes on from there.
   *
   * @throws what the source throws, and one clear error for a batch that does not fit or a loss that is not finite. The
   * last checkpoint stays as it was.
   */
  async *run(
    source: BatchSource,
    { signal }: RunOptions = {},
  ): AsyncGenerator<TrainerEvent, void, undefined> {
    const session = this.#session;
    const { options, sae } = session;
    const started = performance.now();
    const resume = this.#resumed?.source;
    const { stream, replayed } = await openBatches(source, {
      width: sae.config.dModel,
      batchSize: options.batchSize,
      repeat: options.repeat,
      signal,
      ...(resume && { resume }),
    });
    const breathe = breather(options.yieldEveryMs);
    const checkpoints = new CheckpointWriter(options.checkpoints, () =>
      checkpointFiles(session, sourceState(stream)),
    );
    if (session.step === 0) await checkpoints.checkEmpty();
    let reason: DoneEvent['reason'] = 'completed';
    Object.assign(session.clock, { time: started, tokens: session.tokens, steps: session.step });
    try {
      yield* this.#resumeWarnings(replayed);
      while (session.step < options.totalSteps) {
        if (signal?.aborted) {
          reason = 'aborted';
          break;
        }
        const batch = await nextBatch(stream, signal);
        if (batch === 'aborted' || batch === null) {
          reason = batch === null ? 'source-ended' : 'aborted';
          break;
        }
        try {
          for (const event of await trainStep(session, batch)) yield event;
        } finally {
          batch.tensor?.dispose();
        }
        if (checkpoints.isDue(session.step) && session.step < options.totalSteps) {
          yield await checkpoints.write(session.step, false);
        }
        await breathe();
      }
      await syncThreshold(session);
      yield* endWarnings(session, reason, stream.batches);
      if (options.checkpoints !== undefined && session.step > 0)
        yield await checkpoints.write(session.step, true);
    } finally {
      this.#resumed = null;
      await stream.close();
    }
    yield {
      type: 'done',
      step: session.step,
      totalSteps: options.totalSteps,
      tokens: session.tokens,
      reason,
      seconds: (performance.now() - started) / 1000,
    };
  }

  *#resumeWarnings(replayed: number): Generator<TrainerEvent> {
    const session = this.#session;
    if (this.#resumed === null) return;
    const changed = changedOptions(
      this.#resumed.options,
      optionsSummary(session.options, this.sae.config.nLatents),
    );
    if (changed.length > 0) {
      const list = changed.join(', ');
      yield warning(session, 'options-changed', `the run is resumed with other options than before: ${list}`);
    }
    if (replayed > 0) {
      const message = `the source cannot seek: ${replayed} batches were read again and skipped`;
      yield warning(session, 'source-replayed', message);
    }
  }

  /**
   * The trained weights on the host, with the input normaliser folded in, so that they apply to raw activations.
   * `average: true` takes the averaged weights.
   */
  async export(options: { average?: boolean } = {}): Promise<ExportedSae> {
    return exportSae(this.#session, options);
  }

  /** The factor √d / average norm that inputs are multiplied by at present; 1 without a normaliser. */
  async inputScale(): Promise<number> {
    return inputScale(this.#session);
  }

  /** Frees the optimiser's state, and the SAE if `resume` made it. */
  dispose(): void {
    this.#session.dispose();
    if (this.#ownsSae) this.sae.dispose();
  }
}

/** Where the source stands, for a checkpoint. */
export function sourceState(stream: BatchStream): CheckpointState['source'] {
  return { position: stream.position(), batches: stream.batches };
}

/** The next batch; 'aborted' when the source stopped because of the signal. */
export async function nextBatch(
  stream: BatchStream,
  signal?: AbortSignal,
): Promise<Batch | null | 'aborted'> {
  try {
    const batch = await stream.next();
    return batch === null && signal?.aborted ? 'aborted' : batch;
  } catch (error) {
    if (signal?.aborted) return 'aborted';
    throw error;
  }
}

/** Warnings about a run that did not go as asked. @throws Error when the source yielded nothing at all. */
export function* endWarnings(
  session: Session,
  reason: DoneEvent['reason'],
  batches: number,
): Generator<TrainerEvent> {
  if (reason !== 'source-ended') return;
  if (batches === 0) {
    throw new Error(
      'source: it yielded no batch at all; check that it is not empty, and not an iterator used before',
    );
  }
  const { totalSteps } = session.options;
  const message = `the source ended after ${session.step} of ${totalSteps} steps; schedules were laid out for all of them. Lower the steps, or give more passes over the data (repeat; epochs on the command line)`;
  yield warning(session, 'source-ended', message);
}
