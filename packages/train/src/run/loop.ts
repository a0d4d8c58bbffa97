/** The loop that every run goes through: one source, one or several SAEs that take each step together, one checkpoint for all. */
import { msaeError } from '@msae/schema';
import type { CheckpointFile } from '../checkpointStorage.ts';
import type { DoneEvent, TrainerEvent } from '../events.ts';
import type { ResolvedOptions } from '../options.ts';
import { type Batch, type BatchSource, type BatchStream, openBatches } from './batchStream.ts';
import { checkpointFiles, type SourceState } from './checkpoint.ts';
import { CheckpointWriter } from './checkpointWriter.ts';
import { breather } from './eventLoop.ts';
import { type Session, settle } from './session.ts';
import { trainStep } from './step.ts';

export interface RunOptions {
  /** Stops the run after the current step; a checkpoint is written if there is a storage. */
  readonly signal?: AbortSignal;
}

/** Sessions by name; the name is what precedes their files in a checkpoint. A run of one has the name ''. */
export type Members = readonly (readonly [name: string, session: Session])[];

export type LoopOptions = Pick<ResolvedOptions, 'batchSize' | 'repeat' | 'checkpoints' | 'yieldEveryMs'> & {
  /** Files of a checkpoint besides those of the sessions. */
  readonly files?: () => CheckpointFile[];
  /** Where the source stood in the checkpoint that the run goes on from. */
  readonly resume?: SourceState | null;
};

/** An event and the member it is about; null: all of them. */
export interface MemberEvent {
  readonly member: string | null;
  readonly event: TrainerEvent;
}

/** What precedes a member's files in a checkpoint. */
export function filePrefix(name: string): string {
  return name === '' ? '' : `${name}.`;
}

/**
 * Trains until every member has done its `totalSteps`, the source ends, or an abort. Every SAE is whole whenever an event is
 * yielded. The source's tensors are disposed of after their step.
 */
export async function* runTogether(
  members: Members,
  source: BatchSource,
  options: LoopOptions,
  { signal }: RunOptions,
): AsyncGenerator<MemberEvent, void, undefined> {
  const sessions = members.map(([, session]) => session);
  const [first] = sessions as [Session];
  const started = performance.now();
  const { stream, replayed } = await openBatches(source, {
    width: first.sae.config.input.width,
    batchSize: options.batchSize,
    repeat: options.repeat,
    signal,
    ...(options.resume && { resume: options.resume }),
  });
  const breathe = breather(options.yieldEveryMs);
  const checkpoints = new CheckpointWriter(options.checkpoints, async () => {
    const files = [...(options.files?.() ?? [])];
    for (const [name, session] of members) {
      files.push(...(await checkpointFiles(session, sourceState(stream), filePrefix(name))));
    }
    return files;
  });
  const steps = (): number => Math.max(...sessions.map(({ step }) => step));
  const isBusy = ({ step, options: { totalSteps } }: Session): boolean => step < totalSteps;
  let reason: DoneEvent['reason'] = 'completed';
  try {
    if (first.step === 0) await checkpoints.checkEmpty();
    for (const { clock, tokens, step } of sessions)
      Object.assign(clock, { time: started, tokens, steps: step });
    await Promise.all(sessions.map(settle));
    yield* resumeWarnings(members, replayed);
    while (sessions.some(isBusy)) {
      const batch = signal?.aborted ? 'aborted' : await nextBatch(stream, signal);
      if (batch === 'aborted' || batch === null) {
        reason = batch === null ? 'source-ended' : 'aborted';
        break;
      }
      try {
        for (const [member, session] of members) {
          if (!isBusy(session)) continue;
          const events = await trainStep(session, batch);
          if (events.length > 0) await settle(session);
          for (const event of events) yield { member, event };
        }
      } finally {
        batch.tensor?.dispose();
      }
      if (checkpoints.isDue(steps()) && sessions.some(isBusy)) {
        await Promise.all(sessions.map(settle));
        yield { member: null, event: await checkpoints.write(steps(), false) };
      }
      await breathe();
    }
    await Promise.all(sessions.map(settle));
    for (const [member, session] of members) {
      if (reason === 'source-ended') yield { member, event: sourceEnded(session, stream.batches) };
    }
    if (options.checkpoints !== undefined && steps() > 0) {
      yield { member: null, event: await checkpoints.write(steps(), true) };
    }
  } finally {
    await stream.close();
  }
  const done: DoneEvent = {
    type: 'done',
    step: steps(),
    totalSteps: Math.max(...sessions.map((session) => session.options.totalSteps)),
    tokens: first.tokens,
    reason,
    seconds: (performance.now() - started) / 1000,
  };
  yield { member: null, event: done };
}

/** Where the source stands, for a checkpoint. */
function sourceState(stream: BatchStream): SourceState {
  return { position: stream.position(), batches: stream.batches };
}

/** The next batch; 'aborted' when the source stopped because of the signal. */
async function nextBatch(stream: BatchStream, signal?: AbortSignal): Promise<Batch | null | 'aborted'> {
  try {
    const batch = await stream.next();
    return batch === null && signal?.aborted ? 'aborted' : batch;
  } catch (error) {
    if (signal?.aborted) return 'aborted';
    throw error;
  }
}

function* resumeWarnings(members: Members, replayed: number): Generator<MemberEvent> {
  const warning = (
    session: Session,
    code: 'options-changed' | 'source-replayed',
    message: string,
  ): TrainerEvent => ({
    type: 'warning',
    step: session.step,
    code,
    message,
  });
  for (const [member, session] of members) {
    const { changed } = session;
    session.changed = [];
    if (changed.length === 0) continue;
    const message = `the run is resumed with other options than before: ${changed.join(', ')}`;
    yield { member, event: warning(session, 'options-changed', message) };
  }
  if (replayed > 0) {
    const message = `the source cannot seek: ${replayed} batches were read again and skipped`;
    yield { member: null, event: warning(members[0]![1], 'source-replayed', message) };
  }
}

/** @throws MsaeError `value` when the source yielded nothing at all */
function sourceEnded({ step, options: { totalSteps } }: Session, batches: number): TrainerEvent {
  if (batches === 0) {
    throw msaeError(
      'value',
      'source: it yielded no batch at all; check that it is not empty, and not an iterator used before',
    );
  }
  const message = `the source ended after ${step} of ${totalSteps} steps; schedules were laid out for all of them. Lower the steps, or give more passes over the data (repeat; epochs on the command line)`;
  return { type: 'warning', step, code: 'source-ended', message };
}
