/**
 * Several SAEs on one stream of batches: the activations, which cost most to make, are made once. Each trainer keeps its own
 * options, normaliser and schedules; all take every step together, and one checkpoint holds them all.
 */
import { check, flag, msaeError, number, object, optional, type Schema, whole } from '@msae/schema';
import type { CheckpointStorage } from './checkpointStorage.ts';
import type { TrainerEvent } from './events.ts';
import { type CheckpointOptions, checkpointsSchema } from './options.ts';
import type { BatchSource } from './run/batchStream.ts';
import { jsonFile, readJsonFile, type SourceState } from './run/checkpoint.ts';
import { findCheckpoint } from './run/checkpointWriter.ts';
import { filePrefix, type Members, type RunOptions, runTogether } from './run/loop.ts';
import { type ResumedOptions, resumeSession } from './run/resume.ts';
import { sessionOf, Trainer } from './trainer.ts';

export interface TrainerGroupOptions {
  /** Rows of a batch drawn from an `ActivationSource`. Default 1024. */
  readonly batchSize?: number;
  /** Start the source again when it ends. Default false. */
  readonly repeat?: boolean;
  /** Where one checkpoint for all of them goes; the trainers' own `checkpoints` option is not used. */
  readonly checkpoints?: CheckpointOptions;
  /** Longest time between two turns of the event loop, in ms. Default 20. */
  readonly yieldEveryMs?: number;
}

/** Which checkpoint a group goes on from. */
export interface ResumeGroupOptions {
  /** Default: the newest. */
  readonly name?: string;
  /** The group's options that are not the checkpoint's. */
  readonly group?: Omit<TrainerGroupOptions, 'checkpoints'> & {
    readonly checkpoints?: Partial<CheckpointOptions>;
  };
  /** Options of single trainers that are not the checkpoint's. */
  readonly trainers?: Readonly<Record<string, ResumedOptions>>;
}

/** An event of one of the trainers, or (with `trainer: null`) of the whole group: checkpoints and the end. */
export type TrainerGroupEvent = TrainerEvent & { readonly trainer: string | null };

const NAME = /^[A-Za-z0-9_-]+$/;
const FILE = 'group.json';

type Settled = Required<Omit<TrainerGroupOptions, 'checkpoints'>> & Pick<TrainerGroupOptions, 'checkpoints'>;

const schema: Schema<TrainerGroupOptions> = object<TrainerGroupOptions>({
  batchSize: optional(whole({ min: 1, help: 'rows of a batch' }), 1024),
  repeat: optional(flag({ help: 'start the source again when it ends' }), false),
  checkpoints: checkpointsSchema,
  yieldEveryMs: optional(number({ min: 0, help: 'longest time between two turns of the event loop' }), 20),
});

/**
 * @example
 * ```ts
 * const group = new TrainerGroup({ topk32: new Trainer(a, options), topk64: new Trainer(b, options) });
 * for await (const event of group.run(activations)) if (event.type === 'metrics') console.log(event.trainer, event.fvu);
 * ```
 */
export class TrainerGroup {
  readonly trainers: Readonly<Record<string, Trainer>>;
  readonly #options: Settled;
  readonly #members: Members;
  #source: SourceState | null = null;

  /** @throws MsaeError `option` for no trainer, a name that is no file name, widths or steps that differ. */
  constructor(trainers: Readonly<Record<string, Trainer>>, options: TrainerGroupOptions = {}) {
    this.#options = check(schema, options, 'TrainerGroup') as Settled;
    const entries = Object.entries(trainers);
    if (entries.length === 0) throw msaeError('option', 'TrainerGroup: at least one trainer is needed');
    const [firstName, first] = entries[0]!;
    for (const [name, trainer] of entries) {
      if (!NAME.test(name)) {
        throw msaeError(
          'option',
          `TrainerGroup: ${JSON.stringify(name)} names files of checkpoints; use letters, digits, - and _`,
        );
      }
      const [width, firstWidth] = [trainer.sae.config.input.width, first.sae.config.input.width];
      if (width !== firstWidth || trainer.step !== first.step) {
        throw msaeError(
          'option',
          `TrainerGroup: ${name} has width ${width} at step ${trainer.step}, ${firstName} has ${firstWidth} at step ${first.step}; all must share both`,
        );
      }
    }
    this.trainers = trainers;
    this.#members = entries.map(([name, trainer]) => [name, sessionOf(trainer)] as const);
  }

  /** Continues from a checkpoint: every trainer, its SAE and options come from it. The SAEs are the caller's. */
  static async resume(
    storage: CheckpointStorage,
    { name, group: changes = {}, trainers: given = {} }: ResumeGroupOptions = {},
  ): Promise<TrainerGroup> {
    const found = await findCheckpoint(storage, name);
    const saved = await savedGroup(storage, found, Object.keys(given));
    const unknown = Object.keys(given).filter((trainer) => !saved.trainers.includes(trainer));
    if (unknown.length > 0) {
      throw msaeError(
        'option',
        `TrainerGroup.resume: the checkpoint holds no trainer ${unknown.join(', ')}; it has ${saved.trainers.join(', ')}`,
      );
    }
    const made: Record<string, Trainer> = {};
    let source: SourceState | null = null;
    try {
      for (const trainer of saved.trainers) {
        const resumed = await resumeSession(storage, found, filePrefix(trainer), given[trainer] ?? {});
        made[trainer] = new Trainer(resumed.session.sae, resumed);
        source = resumed.source;
      }
      const checkpoints = { ...saved.options.checkpoints, ...changes.checkpoints, storage };
      const group = new TrainerGroup(made, { ...saved.options, ...changes, checkpoints });
      group.#source = source;
      return group;
    } catch (error) {
      for (const trainer of Object.values(made)) trainer.dispose();
      throw error;
    }
  }

  /** Trains all of them on the same batches until every one has done its `totalSteps`. Errors as `Trainer.run`. */
  async *run(source: BatchSource, run: RunOptions = {}): AsyncGenerator<TrainerGroupEvent, void, undefined> {
    const resume = this.#source;
    this.#source = null;
    const options = { ...this.#options, resume, files: () => [jsonFile(FILE, this.#saved())] };
    for await (const { member, event } of runTogether(this.#members, source, options, run)) {
      yield { ...event, trainer: member };
    }
  }

  #saved(): SavedGroup {
    const { checkpoints, ...options } = this.#options;
    const { storage: _, ...kept } = checkpoints ?? { storage: undefined };
    return { trainers: Object.keys(this.trainers), options: { ...options, checkpoints: kept } };
  }

  /** Disposes of every trainer; their SAEs stay the caller's. */
  dispose(): void {
    for (const trainer of Object.values(this.trainers)) trainer.dispose();
  }
}

interface SavedGroup {
  readonly trainers: readonly string[];
  readonly options: Omit<TrainerGroupOptions, 'checkpoints'> & {
    readonly checkpoints?: Partial<CheckpointOptions>;
  };
}

/** Who is in a checkpoint; version 1 does not say, so the names have to be given. */
async function savedGroup(
  storage: CheckpointStorage,
  name: string,
  given: readonly string[],
): Promise<SavedGroup> {
  let saved: SavedGroup;
  try {
    saved = (await readJsonFile(storage, name, FILE)) as SavedGroup;
  } catch (cause) {
    if (given.length > 0) return { trainers: given, options: {} };
    throw msaeError(
      'file',
      `checkpoint ${name}: it has no ${FILE}, so it is not a group's or is of version 1; for that, name its trainers in \`trainers\``,
      { cause },
    );
  }
  return saved;
}
