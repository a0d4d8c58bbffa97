/** When checkpoints are written, which are kept, and which one a run is resumed from. */
import { msaeError } from '@msae/schema';
import type { CheckpointFile, CheckpointStorage } from '../checkpointStorage.ts';
import type { TrainerEvent } from '../events.ts';
import type { CheckpointOptions } from '../options.ts';
import { checkpointName } from './checkpoint.ts';

/** Writes checkpoints when they are due and removes the oldest. */
export class CheckpointWriter {
  readonly #options: CheckpointOptions | undefined;
  readonly #files: () => Promise<CheckpointFile[]>;
  #last: string | null = null;

  constructor(options: CheckpointOptions | undefined, files: () => Promise<CheckpointFile[]>) {
    this.#options = options;
    this.#files = files;
  }

  /** @throws Error when a new run would mix its checkpoints with those of another. Call it before the first step. */
  async checkEmpty(): Promise<void> {
    const names = (await this.#options?.storage.list()) ?? [];
    if (names.length === 0) return;
    throw msaeError(
      'state',
      `checkpoints: the storage holds those of another run already (${names.at(-1)}); continue that run with resume, or use an empty one`,
    );
  }

  isDue(step: number): boolean {
    const every = this.#options?.everySteps;
    return every !== undefined && step % every === 0;
  }

  /** A checkpoint event, or a warning when it could not be written: the run goes on, older checkpoints are kept. */
  async write(step: number, final: boolean): Promise<TrainerEvent> {
    const { storage, keep = 3 } = this.#options as CheckpointOptions;
    const name = checkpointName(step);
    try {
      if (this.#last !== name) await storage.write(name, await this.#files());
      this.#last = name;
      const names = (await storage.list()).filter((other) => other.startsWith('step-'));
      const old = names.filter((other) => other <= name);
      // Later ones were left by the run before it was resumed from an older checkpoint.
      const later = names.filter((other) => other > name);
      for (const other of [...old.slice(0, Math.max(0, old.length - keep)), ...later])
        await storage.remove(other);
    } catch (error) {
      if (final) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      return { type: 'warning', step, code: 'checkpoint-failed', message: `checkpoint ${name}: ${reason}` };
    }
    return { type: 'checkpoint', step, name, final };
  }
}

/** The newest checkpoint, or the one called `name`. */
export async function findCheckpoint(storage: CheckpointStorage, name?: string): Promise<string> {
  const names = await storage.list();
  const found = name === undefined ? names.filter((other) => other.startsWith('step-')).at(-1) : name;
  if (found === undefined)
    throw msaeError('missing', 'Trainer.resume: there is no checkpoint yet; start a new run');
  if (!names.includes(found)) {
    throw msaeError(
      'missing',
      `Trainer.resume: there is no checkpoint ${found}; there are ${names.join(', ') || 'none'}`,
    );
  }
  return found;
}
