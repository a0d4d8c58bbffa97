/** All the state of one SAE in training: what `trainStep` changes and a checkpoint holds. */
import type { Sae } from '@msae/core';
import { createRng, type Rng } from '@msae/sampler';
import type * as tf from '@tensorflow/tfjs-core';
import { createDeadLatentTracker, type DeadLatentTracker } from './deadLatents.ts';
import type { TrainerEvent, WarningCode } from './events.ts';
import { createWorthTracker, type WorthTracker } from './latentWorth.ts';
import { createNormalizer, type Normalizer } from './normalizer.ts';
import { createOptimizer, type Optimizer } from './optimizer.ts';
import { createPathChooser, type PathChooser } from './pathChooser.ts';
import { createLatentSorter, type LatentSorter } from './permutation.ts';
import type { ResolvedOptions } from './resolveOptions.ts';
import { createSparsityController, type SparsityController } from './sparsityController.ts';
import { createWeightAverage, type WeightAverage } from './weightAverage.ts';

/** All that changes while an SAE is trained, besides its parameters. */
export interface Session {
  readonly sae: Sae;
  readonly options: ResolvedOptions;
  readonly optimizer: Optimizer;
  readonly normalizer: Normalizer | null;
  readonly controller: SparsityController | null;
  readonly deadLatents: DeadLatentTracker | null;
  readonly sorter: LatentSorter | null;
  /** With `resampling.weak`. */
  readonly worth: WorthTracker | null;
  readonly weightAverage: WeightAverage | null;
  readonly path: PathChooser;
  rng: Rng;
  /** Steps done. */
  step: number;
  /** Rows seen. */
  tokens: number;
  /** batchtopk: running mean of the smallest kept value, [1]; null before the first batch. */
  threshold: tf.Tensor1D | null;
  /** Since the last report, for the rates; not part of a checkpoint. */
  readonly clock: { time: number; tokens: number; steps: number };
  dispose(): void;
}

export function createSession(sae: Sae, options: ResolvedOptions): Session {
  const { dModel, nLatents } = sae.config;
  const { deadLatents, normalizer, permutation, sparsityController, weightAverage } = options;
  // Those that check options come before those that own tensors.
  const host = {
    normalizer: normalizer === false ? null : createNormalizer(dModel, normalizer),
    controller: sparsityController === undefined ? null : createSparsityController(sparsityController),
    sorter: permutation === false ? null : createLatentSorter(permutation),
  };
  const session: Session = {
    sae,
    options,
    ...host,
    optimizer: createOptimizer(sae, options.optimizer, options.parameterGroups),
    deadLatents:
      deadLatents === false ? null : createDeadLatentTracker(nLatents, deadLatents.afterTokens ?? 1_000_000),
    worth: options.resampling !== false && options.resampling.weak ? createWorthTracker() : null,
    weightAverage: weightAverage === false ? null : createWeightAverage(sae, weightAverage.decay),
    path: createPathChooser(sae.config, options.path),
    rng: createRng(options.seed),
    step: 0,
    tokens: 0,
    threshold: null,
    clock: { time: performance.now(), tokens: 0, steps: 0 },
    dispose() {
      session.optimizer.dispose();
      session.normalizer?.dispose();
      session.deadLatents?.dispose();
      session.weightAverage?.dispose();
      session.threshold?.dispose();
      session.threshold = null;
    },
  };
  return session;
}

/** Bring `sae.inferenceThreshold` up to date (one readback of one number). */
export async function syncThreshold(session: Session): Promise<void> {
  if (session.threshold !== null)
    session.sae.inferenceThreshold = (await session.threshold.data())[0] as number;
}

export function warning(session: Session, code: WarningCode, message: string): TrainerEvent {
  return { type: 'warning', step: session.step, code, message };
}
