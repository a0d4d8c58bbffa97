/**
 * A training part: one feature of a run (the normaliser, the auxiliary loss, resampling …) with all that belongs to it: its
 * options, what it does at each point of a step, what of it a checkpoint holds. The step knows parts by this interface alone.
 */
import type { Activation, MatryoshkaStep, ParamName, Sae, StepMetrics, TransformStep } from '@msae/core';
import type { Prefixes, PrefixScheme, Rng } from '@msae/sampler';
import type { Schema } from '@msae/schema';
import type * as tf from '@tensorflow/tfjs-core';
import type { WarningCode } from '../events.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Batch } from '../run/batchStream.ts';

/** What parts see of the run they belong to. */
export interface TrainingRun {
  /** The SAE in training. */
  readonly sae: Sae;
  readonly options: ResolvedOptions;
  /** The random stream of the run: what is drawn from it is the same after a resume. */
  readonly rng: Rng;
  /** Steps done. */
  readonly step: number;
  /** Rows seen. */
  readonly tokens: number;
  /** What λ multiplies: the penalty on activations, or (where thresholds are learnt without one) L0 itself. */
  steers: 'penalty' | 'l0';
  /** The latents that count as dead, ascending, as of the last look. */
  dead(): Int32Array;
  /** The parameters of these latents have been rewritten: everything that has a history of them forgets it. */
  revive(latents: Int32Array): Promise<void>;
  /** New latent i becomes old latent `order[i]`, everywhere: parameters, moments, every part. */
  permute(order: Int32Array): void;
}

/** What holds at one step. Parts change it before the gradients are computed. */
export interface StepPlan {
  /** The number of the step, from 1. */
  readonly done: number;
  /** Is this step reported? */
  readonly report: boolean;
  scheme: PrefixScheme;
  decoderPrefixes: 'all' | 'full';
  /** The SAE's activation, with this step's k. */
  activation: Activation;
  /** λ */
  lambda: number;
  learningRate: number;
  gradClipNorm: number | null;
  /** Someone needs x − x̂ of the full prefix. */
  keepResidual: boolean;
  /** Someone needs each latent's mean a²·‖d‖². */
  keepContributions: boolean;
  /** Someone needs this step's loss and L0 on the host. */
  readMetrics: boolean;
  /** Someone needs the list of dead latents to be up to date after this step. */
  freshDead: boolean;
  /** Names of parts that rest during this step: none of their hooks that come later is called. */
  readonly resting: Set<string>;
}

/** A step in progress. */
export interface PartStep {
  readonly plan: StepPlan;
  readonly prefixes: Prefixes;
  /** [B, d]: the batch as the weights see it. */
  readonly z: tf.Tensor2D;
  readonly rows: number;
  /** The SAE's weights with this step's activation and without a transform: from z to ẑ. */
  readonly weights: Sae;
  /** The step's gradients; a part may replace them (and disposes of those it replaces). */
  readonly gradients: MatryoshkaStep;
}

/** What was read back after a step. */
export interface Seen {
  /** Loss, L0 and the rest; null where nobody asked for them. */
  readonly numbers: StepMetrics | null;
  /** The part's own tensors, by the names it gave them; null where it gave none. */
  readonly values: Readonly<Record<string, Float32Array | null>>;
}

/** What a part adds to a metrics event. */
export interface PartMetrics {
  readonly deadFraction?: number;
  readonly inputNorm?: number | null;
  /** Numbers of a part of one's own: `event.parts[name]`. */
  readonly own?: Readonly<Record<string, number | null>>;
}

/** What a checkpoint keeps of a part, besides its options. */
export interface PartState {
  /** Plain JSON. */
  readonly json?: unknown;
  /** float32 tensors, which stay the part's, or float64 arrays. */
  readonly tensors?: Readonly<Record<string, tf.Tensor | Float64Array | null | undefined>>;
}

/** A part's state on its way back. */
export interface SavedPart {
  readonly json: unknown;
  has(tensor: string): boolean;
  /** @throws MsaeError `file` when it is not there or has another shape */
  float32(tensor: string, shape: readonly number[]): Promise<Float32Array>;
  float64(tensor: string, shape: readonly number[]): Promise<Float64Array>;
}

/** A part at work. Every hook is optional; hooks of one kind are called in the order of the parts. */
export interface RunningPart {
  /** Changes a batch before the weights see it. A new tensor in what is returned is the run's; the batch given stays its owner's. */
  input?(batch: Batch): Batch;
  /** Once, before the first step. */
  begin?(z: tf.Tensor2D): void | Promise<void>;
  /** Changes the plan of the step. */
  plan?(plan: StepPlan): void;
  /** Changes the gradients; a loss it adds ([1], the run's) is reported as `auxLoss`. */
  gradients?(step: PartStep): tf.Tensor1D | null | undefined | Promise<tf.Tensor1D | null | undefined>;
  /** After the update of the parameters. */
  updated?(step: PartStep): void;
  /** Tensors (the part's) to read back after this step, all parts' together in one readback. Only small ones. */
  read?(plan: StepPlan): Readonly<Record<string, tf.Tensor | null | undefined>>;
  /** After the readback. */
  observe?(seen: Seen): void;
  /** What it adds to a report. */
  metrics?(): PartMetrics;
  /** Last of all: changes to the SAE as a whole. Returns what the user should know. */
  after?(step: PartStep): Promise<readonly { code: WarningCode; message: string }[] | undefined>;
  /** What it does to its inputs, as steps that make `trainer.sae` apply to raw activations. */
  transform?(): readonly TransformStep[] | Promise<readonly TransformStep[]>;
  /** What it adds to the SAE's training record. Plain JSON. */
  details?(): Readonly<Record<string, unknown>>;
  /** Brings `run.sae` up to date: called before every event. */
  settle?(): Promise<void> | undefined;
  /** Latents it holds for dead. */
  dead?(): Int32Array;
  revive?(latents: Int32Array): void | Promise<void>;
  permute?(order: Int32Array): void;
  /** Other weights that may stand in for the parameters. */
  average?(): ReadonlyMap<ParamName, tf.Tensor>;
  save?(): PartState | Promise<PartState>;
  restore?(saved: SavedPart): void | Promise<void>;
  dispose?(): void;
}

/** A part with its options in it: what `options.parts` takes. */
export interface TrainingPart {
  /** Its name in events and checkpoints: letters, digits, - and _. */
  readonly name: string;
  /** What a checkpoint remembers of its options, to tell a resumed run that they have changed. Plain JSON. */
  readonly options?: unknown;
  /** Begins a run. Throws when the run's SAE or options do not suit it. */
  start(run: TrainingRun): RunningPart;
}

/** One of the parts that the trainer has an option for. */
export interface PartDefinition<O> {
  /** The option's name. */
  readonly name: string;
  /** Of the option's value; what is left out of the options is off. */
  readonly schema: Schema<O>;
  start(options: O, run: TrainingRun): RunningPart | null;
}
