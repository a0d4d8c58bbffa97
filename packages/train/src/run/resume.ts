/** A session made from a checkpoint alone. Options given are taken instead of the checkpoint's, and the difference is named. */
import { type Sae, saeFromWeights } from '@msae/core';
import { type PrefixSchemeData, prefixScheme } from '@msae/sampler';
import { isMsaeError, msaeError } from '@msae/schema';
import type { CheckpointStorage } from '../checkpointStorage.ts';
import {
  type CheckpointOptions,
  type ResolvedOptions,
  resolveOptions,
  type TrainerOptions,
} from '../options.ts';
import {
  initialTransform,
  type OpenedCheckpoint,
  openCheckpoint,
  openTensors,
  restoreSession,
  type SourceState,
} from './checkpoint.ts';
import { drawnBySeed0, plainOptions } from './checkpointV1.ts';
import { changedOptions, optionsJson } from './optionsJson.ts';
import { createSession, type Session } from './session.ts';

/** What may be said of a run that goes on. */
export type ResumedOptions = Partial<Omit<TrainerOptions, 'checkpoints'>> & {
  readonly checkpoints?: Partial<CheckpointOptions>;
};

/** A session out of a checkpoint; its SAE belongs to whoever goes on with it. */
export class ResumedSession {
  readonly session: Session;
  readonly source: SourceState;

  constructor(session: Session, source: SourceState) {
    this.session = session;
    this.source = source;
  }
}

export async function resumeSession(
  storage: CheckpointStorage,
  name: string,
  prefix: string,
  options: ResumedOptions,
): Promise<ResumedSession> {
  const opened = await openCheckpoint(storage, name, prefix);
  const { options: resolved, changed } = settleOptions(opened, storage, options);
  const tensors = await openTensors(storage, opened);
  let sae: Sae | null = null;
  let session: Session | null = null;
  try {
    const initial = await initialTransform(opened, tensors);
    const { state, sae: config } = opened.state;
    const [d, N] = [config.input.width, config.nLatents];
    sae = saeFromWeights(
      config,
      {
        W_enc: new Float32Array(d * N),
        b_enc: new Float32Array(N),
        W_dec: new Float32Array(N * d),
        b_dec: new Float32Array(d),
      },
      { transform: { input: initial }, record: state.record, prefixes: state.prefixes },
    );
    session = createSession(sae, resolved);
    await restoreSession(session, opened, tensors);
    session.changed = changed;
    return new ResumedSession(session, opened.state.source);
  } catch (error) {
    session?.dispose();
    sae?.dispose();
    throw error;
  } finally {
    await tensors.close();
  }
}

function settleOptions(
  opened: OpenedCheckpoint,
  storage: CheckpointStorage,
  given: ResumedOptions,
): { options: ResolvedOptions; changed: readonly string[] } {
  const { name, state, version1 } = opened;
  const config = state.sae;
  const where = `checkpoint ${name}`;
  const { parts: savedParts = [], ...saved } = (
    version1 ? plainOptions(state.options, config.nLatents).options : state.options
  ) as Record<string, unknown> & { parts?: readonly { name: string }[] };
  const now = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as ResumedOptions;
  if (version1) {
    const lacks = plainOptions(state.options, config.nLatents).lacks.filter(
      (option) => !(option.split(/[.[]/)[0]! in now),
    );
    if (lacks.length > 0) {
      throw msaeError(
        'missing',
        `${where}: a checkpoint of version 1 does not say how ${lacks.join(', ')} are drawn; pass the run's in options`,
      );
    }
  }
  const parts = now.parts ?? [];
  const absent = savedParts.filter(({ name: part }) => !parts.some((other) => other.name === part));
  if (absent.length > 0) {
    throw msaeError(
      'missing',
      `${where}: the run has parts of its own (${absent.map((part) => part.name).join(', ')}); pass them again in options.parts`,
    );
  }
  if (now.prefixes === undefined) checkScheme(saved.prefixes as PrefixSchemeData, where);
  const checkpoints = { ...(saved.checkpoints as object | undefined), ...now.checkpoints, storage };
  const options = resolveOptions(config, { ...saved, ...now, parts, checkpoints } as TrainerOptions);
  // what no longer fits a schema (a scheme of one's own) is compared as it was written
  const normalised = resolveOptions(config, {
    ...(saved as Partial<TrainerOptions>),
    prefixes: { kind: 'full' },
    phases: [],
    checkpoints,
  } as TrainerOptions);
  const after = optionsJson(options);
  const before = {
    ...optionsJson(normalised),
    parts: savedParts,
    prefixes: version1 ? after.prefixes : saved.prefixes,
    phases: version1 && now.phases !== undefined ? after.phases : saved.phases,
  };
  const changed = changedOptions(before, after);
  const draws = JSON.stringify(drawnBySeed0(options.prefixes, config.nLatents));
  if (version1 && draws !== JSON.stringify(state.options.prefixes)) changed.push('prefixes');
  return { options, changed: changed.sort() };
}

/** A scheme of one's own leaves only its data in a checkpoint. */
function checkScheme(data: PrefixSchemeData, where: string): void {
  try {
    prefixScheme(data);
  } catch (error) {
    if (!isMsaeError(error)) throw error;
    throw msaeError(
      'missing',
      `${where}: prefixes of kind ${JSON.stringify(data?.kind)} are not among the sampler's; pass the run's own in options.prefixes`,
      { cause: error },
    );
  }
}
