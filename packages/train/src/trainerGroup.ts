/**
 * Several SAEs on one stream of batches: the activations, which cost most to make, are made once. Each trainer keeps its own
 * options, normaliser and schedules; all take every step together, and one checkpoint holds them all.
 */
import { type BatchSource, openBatches } from './batchStream.ts';
import { type CheckpointState, checkpointFiles, readCheckpointState, restoreSession } from './checkpoint.ts';
import { CheckpointWriter, emptySae, findCheckpoint } from './checkpointWriter.ts';
import { breather } from './eventLoop.ts';
import type { DoneEvent, TrainerEvent } from './events.ts';
import type { CheckpointOptions, TrainerOptions } from './options.ts';
import { type Session, syncThreshold } from './session.ts';
import { endWarnings, nextBatch, type RunOptions, sessionOf, sourceState, Trainer } from './trainer.ts';
import { trainStep } from './trainStep.ts';

export interface TrainerGroupOptions {
  /** Rows of a batch drawn from an `ActivationSource`. Default 1024. */
  readonly batchSize?: number;
  /** Start the source again when it ends. Default false. */
  readonly repeat?: boolean;
  /** Where one checkpoint for all of them goes; the trainers' own `checkpoints` option is not used. */
  readonly checkpoints?: CheckpointOptions;
  readonly yieldEveryMs?: number;
}

/** An event of one of the trainers, or (with `trainer: null`) of the whole group: checkpoints and the end. */
export type TrainerGroupEvent = TrainerEvent & { readonly trainer: string | null };

const NAME = /^[A-Za-z0-9_-]+$/;

/**
 * @example
 * ```ts
 * const group = new TrainerGroup({ topk32: new Trainer(a, options), topk64: new Trainer(b, options) });
 * for await (const event of group.run(activations)) if (event.type === 'metrics') console.log(event.trainer, event.fvu);
 * ```
 */
export class TrainerGroup {
  readonly trainers: Readonly<Record<string, Trainer>>;
  readonly #options: TrainerGroupOptions;
  readonly #sessions: readonly (readonly [string, Session])[];
  #resumed: CheckpointState['source'] | null = null;
  #ownsSaes = false;

  /** @throws RangeError for no trainer, a name that is no file name, widths or steps that differ. */
  constructor(trainers: Readonly<Record<string, Trainer>>, options: TrainerGroupOptions = {}) {
    const entries = Object.entries(trainers);
    if (entries.length === 0) throw new RangeError('TrainerGroup: at least one trainer is needed');
    for (const [name, trainer] of entries) {
      if (!NAME.test(name)) {
        throw new RangeError(
          `TrainerGroup: ${JSON.stringify(name)} names files of checkpoints; use letters, digits, - and _`,
        );
      }
      const [, first] = entries[0] as [string, Trainer];
      if (trainer.sae.config.dModel !== first.sae.config.dModel || trainer.step !== first.step) {
        throw new RangeError(
          `TrainerGroup: ${name} has dModel ${trainer.sae.config.dModel} at step ${trainer.step}, ${entries[0]?.[0]} has ${first.sae.config.dModel} at step ${first.step}; all must share both`,
        );
      }
    }
    this.trainers = trainers;
    this.#options = options;
    this.#sessions = entries.map(([name, trainer]) => [name, sessionOf.get(trainer) as Session] as const);
  }

  /** Continues from the newest checkpoint of `options.checkpoints.storage`; every trainer's SAE is made from it. */
  static async resume(
    trainers: Readonly<Record<string, TrainerOptions>>,
    options: TrainerGroupOptions,
    { name }: { name?: string } = {},
  ): Promise<TrainerGroup> {
    const storage = options.checkpoints?.storage;
    if (storage === undefined)
      throw new TypeError('TrainerGroup.resume: options.checkpoints.storage is needed');
    const found = await findCheckpoint(storage, name);
    const made: Record<string, Trainer> = {};
    let source: CheckpointState['source'] | null = null;
    for (const [trainer, trainerOptions] of Object.entries(trainers)) {
      const state = await readCheckpointState(storage, found, `${trainer}.`);
      made[trainer] = new Trainer(emptySae(state), trainerOptions);
      await restoreSession(sessionOf.get(made[trainer]) as Session, state, storage, found, `${trainer}.`);
      source = state.source;
    }
    const group = new TrainerGroup(made, options);
    group.#resumed = source;
    group.#ownsSaes = true;
    return group;
  }

  /** Trains all of them on the same batches until every one has done its `totalSteps`. Errors as `Trainer.run`. */
  async *run(
    source: BatchSource,
    { signal }: RunOptions = {},
  ): AsyncGenerator<TrainerGroupEvent, void, undefined> {
    const {
      batchSize = 1024,
      repeat = false,
      checkpoints: checkpointOptions,
      yieldEveryMs = 20,
    } = this.#options;
    const sessions = this.#sessions;
    const [, first] = sessions[0] as readonly [string, Session];
    const started = performance.now();
    const { stream, replayed } = await openBatches(source, {
      width: first.sae.config.dModel,
      batchSize,
      repeat,
      signal,
      ...(this.#resumed && { resume: this.#resumed }),
    });
    this.#resumed = null;
    const files = async () =>
      (
        await Promise.all(sessions.map(([name, s]) => checkpointFiles(s, sourceState(stream), `${name}.`)))
      ).flat();
    const checkpoints = new CheckpointWriter(checkpointOptions, files);
    const breathe = breather(yieldEveryMs);
    if (first.step === 0) await checkpoints.checkEmpty();
    const steps = (): number => Math.max(...sessions.map(([, session]) => session.step));
    const busy = (): boolean => sessions.some(([, session]) => session.step < session.options.totalSteps);
    let reason: DoneEvent['reason'] = 'completed';
    try {
      if (replayed > 0) {
        const message = `the source cannot seek: ${replayed} batches were read again and skipped`;
        yield { type: 'warning', step: steps(), code: 'source-replayed', message, trainer: null };
      }
      while (busy()) {
        const batch = signal?.aborted ? 'aborted' : await nextBatch(stream, signal);
        if (batch === 'aborted' || batch === null) {
          reason = batch === null ? 'source-ended' : 'aborted';
          break;
        }
        try {
          for (const [trainer, session] of sessions) {
            if (session.step >= session.options.totalSteps) continue;
            for (const event of await trainStep(session, batch)) yield { ...event, trainer };
          }
        } finally {
          batch.tensor?.dispose();
        }
        if (checkpoints.isDue(steps()) && busy()) {
          yield { ...(await checkpoints.write(steps(), false)), trainer: null };
        }
        await breathe();
      }
      for (const [trainer, session] of sessions) {
        await syncThreshold(session);
        for (const event of endWarnings(session, reason, stream.batches)) yield { ...event, trainer };
      }
      if (checkpointOptions !== undefined && steps() > 0) {
        yield { ...(await checkpoints.write(steps(), true)), trainer: null };
      }
    } finally {
      await stream.close();
    }
    yield {
      type: 'done',
      step: steps(),
      totalSteps: Math.max(...sessions.map(([, session]) => session.options.totalSteps)),
      tokens: first.tokens,
      reason,
      seconds: (performance.now() - started) / 1000,
      trainer: null,
    };
  }

  /** Disposes of every trainer, and of the SAEs if `resume` made them. */
  dispose(): void {
    for (const trainer of Object.values(this.trainers)) {
      trainer.dispose();
      if (this.#ownsSaes) trainer.sae.dispose();
    }
  }
}
