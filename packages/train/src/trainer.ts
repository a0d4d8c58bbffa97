/**
 * The trainer: an SAE, options, and a source of activations in; typed events out. It never prints, takes an AbortSignal,
 * leaves the event loop breathing, and resumes from a checkpoint bit for bit.
 */
import { type Sae, saeFromWeights } from '@msae/core';
import { msaeError } from '@msae/schema';
import type { CheckpointStorage } from './checkpointStorage.ts';
import type { TrainerEvent } from './events.ts';
import { resolveOptions, type TrainerOptions } from './options.ts';
import type { BatchSource } from './run/batchStream.ts';
import type { SourceState } from './run/checkpoint.ts';
import { findCheckpoint } from './run/checkpointWriter.ts';
import { type RunOptions, runTogether } from './run/loop.ts';
import { type ResumedOptions, ResumedSession, resumeSession } from './run/resume.ts';
import { createSession, type Session, settle } from './run/session.ts';

/** The sessions of trainers, for TrainerGroup. */
const sessions = new WeakMap<Trainer, Session>();

/** Which checkpoint a run goes on from, and with which options where they are not the checkpoint's. */
export interface ResumeOptions {
  /** Default: the newest. */
  readonly name?: string;
  /** Options to go on with; one that differs from the checkpoint's is named in a warning. */
  readonly options?: ResumedOptions;
}

/**
 * Trains one SAE. The SAE is whole whenever an event is yielded and when the run has ended: it applies to raw activations, and
 * can be evaluated, saved, or used as it is.
 *
 * @example
 * ```ts
 * const sae = createSae({ dModel: 768, nLatents: 24576, activation: topK(32) });
 * const trainer = new Trainer(sae, { totalSteps: 10_000 });
 * for await (const event of trainer.run(activations)) {
 *   if (event.type === 'metrics') console.log(event.step, event.fvu);
 * }
 * const reconstruction = reconstruct(sae, x);
 * ```
 */
export class Trainer {
  readonly sae: Sae;
  readonly #session: Session;
  #source: SourceState | null = null;

  /**
   * @param sae trained in place; it stays the caller's to dispose
   * @throws MsaeError `option` for options that cannot work, one line each; `unsupported` for an SAE that is no autoencoder
   */
  constructor(sae: Sae, options: TrainerOptions | ResumedSession) {
    this.sae = sae;
    if (options instanceof ResumedSession) {
      this.#session = options.session;
      this.#source = options.source;
    } else {
      this.#session = createSession(sae, resolveOptions(sae.config, options));
    }
    sessions.set(this, this.#session);
  }

  /**
   * Continues a run from a checkpoint: SAE and options come from it. The SAE is the caller's, like one given to the constructor.
   *
   * @throws MsaeError `missing` when there is no checkpoint, or when it needs parts or prefixes of one's own that are not given;
   * `file` when it is damaged or of a later version
   */
  static async resume(
    storage: CheckpointStorage,
    { name, options = {} }: ResumeOptions = {},
  ): Promise<Trainer> {
    const found = await findCheckpoint(storage, name);
    const resumed = await resumeSession(storage, found, '', options);
    return new Trainer(resumed.session.sae, resumed);
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
  async *run(source: BatchSource, options: RunOptions = {}): AsyncGenerator<TrainerEvent, void, undefined> {
    const session = this.#session;
    const resume = this.#source;
    this.#source = null;
    for await (const { event } of runTogether(
      [['', session]],
      source,
      { ...session.options, resume },
      options,
    )) {
      yield event;
    }
  }

  /**
   * An SAE of the averaged weights (the option `weightAverage`), whole like `trainer.sae`; the caller's to dispose.
   *
   * @throws MsaeError `missing` without the option
   */
  async averagedSae(): Promise<Sae> {
    await settle(this.#session);
    for (const part of this.#session.parts.values()) {
      const weights = part.average?.();
      if (weights === undefined) continue;
      const { config, transform, inferenceThreshold, prefixes, record } = this.sae;
      return saeFromWeights(config, Object.fromEntries(weights) as never, {
        transform: { input: transform.input },
        inferenceThreshold,
        prefixes,
        record,
      });
    }
    throw msaeError(
      'missing',
      'averagedSae: there are no averaged weights; train with the option weightAverage',
    );
  }

  /** Frees the optimizer's state and that of the parts. `sae` stays, whoever made it: `trainer.sae.dispose()` frees it. */
  dispose(): void {
    this.#session.dispose();
  }
}

/** The session of a trainer. */
export function sessionOf(trainer: Trainer): Session {
  return sessions.get(trainer)!;
}
