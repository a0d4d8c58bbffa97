/**
 * Trains Matryoshka sparse autoencoders: the step, the optimizer, sparsity control, dead latents, checkpoints. Browser and
 * Node; what needs a file system is in `@msae/train/node`.
 *
 * @example
 * ```ts
 * const sae = createSae({ dModel: 768, nLatents: 24576, activation: topK(32) });
 * const trainer = new Trainer(sae, { totalSteps: 10_000 });
 * for await (const event of trainer.run(activations)) {
 *   if (event.type === 'metrics') console.log(event.step, event.fvu);
 * }
 * ```
 *
 * @packageDocumentation
 */
export { isMsaeError, type MsaeError } from '@msae/schema';
export { type CheckpointFile, type CheckpointStorage, memoryStorage } from './checkpointStorage.ts';
export type {
  CheckpointEvent,
  DoneEvent,
  EventSink,
  MetricsEvent,
  PrefixMetrics,
  TrainerEvent,
  WarningCode,
  WarningEvent,
} from './events.ts';
export { opfsStorage } from './opfsStorage.ts';
export {
  type CheckpointOptions,
  type OptimizerOptions,
  type ParameterGroup,
  type TrainerOptions,
  trainerOptionsSchema,
} from './options.ts';
export type {
  PartMetrics,
  PartState,
  PartStep,
  RunningPart,
  SavedPart,
  Seen,
  StepPlan,
  TrainingPart,
  TrainingRun,
} from './parts/definition.ts';
export type { Phase } from './parts/phases.ts';
export type { SparsityControllerOptions } from './parts/sparsityController.ts';
export { referencePreset } from './presets.ts';
export type { Batch, BatchLike, BatchSource, SeekableBatches } from './run/batchStream.ts';
export type { RunOptions } from './run/loop.ts';
export type { ResumedOptions } from './run/resume.ts';
export {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  wsdSchedule,
} from './schedules.ts';
export { jsonlSink } from './sinks/jsonl.ts';
export { type ResumeOptions, Trainer } from './trainer.ts';
export {
  type ResumeGroupOptions,
  TrainerGroup,
  type TrainerGroupEvent,
  type TrainerGroupOptions,
} from './trainerGroup.ts';
