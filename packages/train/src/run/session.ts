/** All the state of one SAE in training: what a step changes and a checkpoint holds. */
import { isAutoencoder, type Sae, type TransformStep } from '@msae/core';
import { createRng, type PrefixScheme, type Rng } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import type { ResolvedOptions } from '../options.ts';
import type { RunningPart, StepPlan, TrainingRun } from '../parts/definition.ts';
import { gatherLatents } from '../parts/rewriteLatents.ts';
import { startParts } from '../parts/table.ts';
import { createOptimizer, type Optimizer } from './optimizer.ts';
import { optionsJson } from './optionsJson.ts';
import { createPathChooser, type PathChooser } from './pathChooser.ts';

export interface Session extends TrainingRun {
  readonly optimizer: Optimizer;
  readonly parts: ReadonlyMap<string, RunningPart>;
  readonly path: PathChooser;
  /** The SAE's transform when training began; the parts' steps come after it. */
  readonly initial: readonly TransformStep[];
  rng: Rng;
  step: number;
  tokens: number;
  /** The options as JSON, for records and checkpoints. */
  readonly recorded: Readonly<Record<string, unknown>>;
  /** Names of options that are not what the checkpoint says, until they have been reported. */
  changed: readonly string[];
  /** Since the last report, for the rates; not part of a checkpoint. */
  readonly clock: { time: number; tokens: number; steps: number };
  dispose(): void;
}

/**
 * @param initial the SAE's own transform, where it is not the one that the SAE has now
 * @throws MsaeError for options that do not suit the SAE
 */
export function createSession(
  sae: Sae,
  options: ResolvedOptions,
  initial: readonly TransformStep[] = sae.transform.input,
): Session {
  if (!isAutoencoder(sae.config) || sae.skip !== null) {
    throw msaeError(
      'unsupported',
      'Trainer: it trains autoencoders without a skip connection; this SAE writes another site than it reads, or has one',
    );
  }
  const optimizer = createOptimizer(sae, options.optimizer, options.parameterGroups);
  let parts: ReadonlyMap<string, RunningPart> = new Map();
  const session: Session = {
    sae,
    options,
    optimizer,
    get parts() {
      return parts;
    },
    path: createPathChooser(sae.config, options.path),
    initial,
    steers: 'penalty',
    rng: createRng(options.seed),
    step: 0,
    tokens: 0,
    recorded: optionsJson(options),
    changed: [],
    clock: { time: performance.now(), tokens: 0, steps: 0 },
    dead() {
      for (const part of parts.values()) if (part.dead) return part.dead();
      return new Int32Array(0);
    },
    async revive(latents) {
      await optimizer.revive(latents);
      for (const part of parts.values()) await part.revive?.(latents);
    },
    permute(order) {
      for (const slot of ['param', 'm', 'v'] as const) {
        gatherLatents(
          [...optimizer.slots].map(([name, slots]) => [name, slots[slot]] as const),
          order,
        );
      }
      for (const part of parts.values()) part.permute?.(order);
    },
    dispose() {
      optimizer.dispose();
      for (const part of parts.values()) part.dispose?.();
    },
  };
  try {
    parts = startParts(session);
  } catch (error) {
    optimizer.dispose();
    throw error;
  }
  sae.prefixes = fixedPrefixes(options.prefixes, sae.config.nLatents);
  return session;
}

/** The parts that do not rest, in their order; a part may send later ones to rest on the way. */
export function* activeParts(
  { parts }: Session,
  { resting }: Pick<StepPlan, 'resting'>,
): Generator<[string, RunningPart]> {
  for (const entry of parts) if (!resting.has(entry[0])) yield entry;
}

/** Makes the SAE whole: transform, threshold and record say what training has come to. Called before every event. */
export async function settle(session: Session): Promise<void> {
  const { sae, parts, initial, recorded, step, tokens } = session;
  const steps = [...initial];
  const ofParts: Record<string, unknown> = {};
  for (const part of parts.values()) {
    Object.assign(ofParts, part.details?.());
    const own = await part.transform?.();
    if (own !== undefined) steps.push(...own);
    await part.settle?.();
  }
  sae.transform = { input: steps, output: steps };
  const { activation } = sae.config;
  const details = { steps: step, tokens, ...ofParts, options: recorded };
  sae.record = { ...sae.record, training: { architecture: activation.kind, details } };
}

/** Most prefixes that are worth a list in every file. */
const MOST_LISTED = 64;

/** The prefixes of a scheme that draws nothing; null for one that does, or that has very many. */
function fixedPrefixes(scheme: PrefixScheme, nLatents: number): Sae['prefixes'] {
  const rng = createRng(0);
  const before = JSON.stringify(rng.state());
  const { lengths, weights } = scheme.sample(nLatents, rng);
  if (JSON.stringify(rng.state()) !== before || lengths.length > MOST_LISTED) return null;
  return { lengths: Array.from(lengths), weights: Array.from(weights) };
}
