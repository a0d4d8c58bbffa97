/** Everything a trainer can be told. All of it but functions is plain data, so that a checkpoint can remember it. */
import type { PrefixScheme } from '@msae/sampler';
import type { AuxiliaryLossOptions } from './auxiliaryLoss.ts';
import type { CheckpointStorage } from './checkpointStorage.ts';
import type { NormalizerOptions } from './normalizer.ts';
import type { PermutationOptions } from './permutation.ts';
import type { Phase } from './phases.ts';
import type { ResamplingOptions } from './resampling.ts';
import type { KAnnealing, Schedule } from './schedules.ts';
import type { SparsityControllerOptions } from './sparsityController.ts';

/** Names of an SAE's parameters, as in `sae.params`. */
export type ParameterName = 'W_enc' | 'b_enc' | 'W_dec' | 'b_dec' | 'threshold';

/** Adam's constants, with PyTorch's meaning: ε is added outside √v̂; `weightDecay` is AdamW's (decoupled). */
export interface OptimizerOptions {
  /** Default .9. */
  readonly beta1?: number;
  /** Default .999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled: w ← w (1 − lr · weightDecay) before the step. Default 0. */
  readonly weightDecay?: number;
}

/** What differs for one parameter. */
export interface ParameterGroup {
  /** Multiplies the learning rate. Default 1; 0 freezes the parameter. */
  readonly learningRateFactor?: number;
  /** Replaces the optimiser's weight decay. */
  readonly weightDecay?: number;
}

export interface CheckpointOptions {
  readonly storage: CheckpointStorage;
  /** Steps between two checkpoints; absent: only when the run ends or is aborted. */
  readonly everySteps?: number;
  /** How many to keep; the oldest go first. Default 3. */
  readonly keep?: number;
}

export interface DeadLatentOptions {
  /** A latent that has not fired for this many rows (tokens) is dead. Default 1e6. */
  readonly afterTokens?: number;
  /** Steps between two looks at the counters (one small readback each). Default: the report's rhythm. */
  readonly refreshEvery?: number;
}

export interface TrainerOptions {
  /** Steps of the whole run; schedules and phases are laid over them. */
  readonly totalSteps: number;
  /** Rows of a batch drawn from an `ActivationSource`; other sources bring their own. Default 1024. */
  readonly batchSize?: number;
  /** How prefixes are chosen at each step. Default: the write-up's, 10 from a truncated Pareto, equal weights summed. */
  readonly prefixes?: PrefixScheme;
  /**
   * Which prefixes train W_dec and b_dec. `all` (default): those of the loss, with the same weights. `full`: the full
   * prefix alone, so that the inner ones train only the encoder.
   */
  readonly decoderPrefixes?: 'all' | 'full';
  /** Default 3e-4. */
  readonly learningRate?: number;
  /** Default: 100 steps of warm-up, the last 20 % down to a tenth. */
  readonly schedule?: Schedule;
  readonly optimizer?: OptimizerOptions;
  readonly parameterGroups?: Partial<Record<ParameterName, ParameterGroup>>;
  /** Largest global gradient norm; null: no clipping. Default 1. */
  readonly gradClipNorm?: number | null;
  /** λ, without a controller. Default 0. */
  readonly penaltyCoefficient?: number;
  /** λ climbs linearly from 0 over this many steps. Default 0. Not with a controller, which has its own warm-up. */
  readonly penaltyWarmupSteps?: number;
  /**
   * Moves λ until L0 is on target. For jumprelu with penalty `none` and no `l0Penalty` it moves the coefficient of a
   * penalty on L0 itself.
   */
  readonly sparsityController?: SparsityControllerOptions;
  /** jumprelu: a fixed penalty on L0, `coefficient` · L0, or `coefficient` · (L0 / `target` − 1)². Default off. */
  readonly l0Penalty?: { readonly coefficient: number; readonly target?: number };
  /** Steps between two reports to the controller, each of which costs one small readback. Default 1. */
  readonly controlEvery?: number;
  /** For topk and batchtopk. */
  readonly kAnnealing?: KAnnealing;
  /** Scale inputs to a mean norm of √d by a running average. Default on; `false` feeds them as they are. */
  readonly normalizer?: NormalizerOptions | false;
  /** Start b_dec at the geometric median of the first `rows` (at most one batch) rows. Default off. */
  readonly decoderBiasInit?: { readonly rows: number } | false;
  /** Keep decoder rows at norm 1: gradients are projected, rows renormalised after each step. Default false. */
  readonly unitNormDecoder?: boolean;
  /** An exponential average of the weights, for export. Default off. */
  readonly weightAverage?: { readonly decay: number } | false;
  /** Sort latents by contribution while training. Default off. */
  readonly permutation?: PermutationOptions | false;
  /** Count since when a latent has been silent. Default on; needed by the auxiliary loss and by resampling. */
  readonly deadLatents?: DeadLatentOptions | false;
  /** AuxK. Default off. */
  readonly auxiliaryLoss?: AuxiliaryLossOptions | false;
  /** Rewrite dead latents. Default off. */
  readonly resampling?: ResamplingOptions | false;
  /** batchtopk: share of the old inference threshold kept at each step. Default .99. */
  readonly thresholdDecay?: number;
  /** `auto` (default) switches by measured density; both give the same numbers to rounding. */
  readonly path?: 'auto' | 'dense' | 'sparse';
  /** Changes of some options at fractions of the run. */
  readonly phases?: readonly Phase[];
  /** Steps between two metrics events. Default 100. */
  readonly reportEvery?: number;
  readonly checkpoints?: CheckpointOptions;
  /** Seed of the prefix draws and of resampling. Default 0. */
  readonly seed?: number;
  /** Start a source again from its first position when it ends before `totalSteps`. Default false. */
  readonly repeat?: boolean;
  /** Longest time between two turns of the event loop, in ms. Default 20. */
  readonly yieldEveryMs?: number;
}
