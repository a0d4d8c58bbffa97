/** What a trainer says while it works. It never prints: whoever iterates decides what to show. */

/** Numbers of one training step, of the batch of that step and before its update. */
export interface MetricsEvent {
  readonly type: 'metrics';
  /** Steps done, this one included. */
  readonly step: number;
  readonly totalSteps: number;
  /** Rows seen since the start of the run, resumed parts included. */
  readonly tokens: number;
  /** Σ_p w_p (R_p + λ S_p), the auxiliary loss included where there is one. */
  readonly loss: number;
  /** Mean over rows of ‖x − x̂‖² of the full prefix, in the normalised input's units. */
  readonly reconstruction: number;
  /** Mean over rows of the penalty of the full prefix, without λ. */
  readonly penalty: number;
  /** The losses that parts add (the auxiliary loss of dead latents); 0 without. */
  readonly auxLoss: number;
  /** Mean number of active latents of a row. */
  readonly l0: number;
  /** Σ‖x − x̂‖² / Σ‖x − x̄‖² of the batch at the full prefix. */
  readonly fvu: number;
  /** Share of latents that have not fired for `deadLatents.afterTokens` rows; null while tracking is off. */
  readonly deadFraction: number | null;
  /** Global gradient norm before clipping; null when it is not computed. */
  readonly gradNorm: number | null;
  readonly learningRate: number;
  /** λ of this step. */
  readonly penaltyCoefficient: number;
  /** The running mean norm that inputs are divided by (times √d); null without a normaliser. */
  readonly inputNorm: number | null;
  readonly path: 'dense' | 'sparse';
  readonly prefixes: readonly PrefixMetrics[];
  /** What parts of your own report, by their names. */
  readonly parts?: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  /** Wall-clock rates since the previous report: the only fields that differ between two runs of one seed. */
  readonly tokensPerSecond: number;
  readonly stepsPerSecond: number;
}

/** The parts of the loss at one prefix. */
export interface PrefixMetrics {
  readonly length: number;
  readonly weight: number;
  /** R_p. */
  readonly reconstruction: number;
  /** S_p, without λ. */
  readonly penalty: number;
  readonly fvu: number;
}

/** A checkpoint is safely on disk (or wherever the storage keeps it). */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly name: string;
  /** The step after which the run ends here: `final` says whether it is that one. */
  readonly final: boolean;
}

export type WarningCode =
  | 'checkpoint-failed'
  | 'options-changed'
  | 'source-replayed'
  | 'source-ended'
  | 'dead-latents'
  | 'outlier-rows';

/** Something the user should know; the run goes on. */
export interface WarningEvent {
  readonly type: 'warning';
  readonly step: number;
  readonly code: WarningCode;
  readonly message: string;
}

/** The last event of every run that did not throw. */
export interface DoneEvent {
  readonly type: 'done';
  readonly step: number;
  readonly totalSteps: number;
  readonly tokens: number;
  readonly reason: 'completed' | 'aborted' | 'source-ended';
  readonly seconds: number;
}

export type TrainerEvent = MetricsEvent | CheckpointEvent | WarningEvent | DoneEvent;

/** Where events can be written to: one file, one socket, one table. */
export interface EventSink {
  write(event: TrainerEvent): void | Promise<void>;
  /** Everything written so far is safe when this resolves. */
  close(): Promise<void>;
}
