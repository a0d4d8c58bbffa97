/**
 * Trains Matryoshka sparse autoencoders: the step, the optimiser, sparsity control, dead latents, checkpoints. Browser and
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
export type { AuxiliaryLossOptions } from './auxiliaryLoss.ts';
export type { BatchLike, BatchSource, SeekableBatches } from './batchStream.ts';
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
export type { ExportedSae } from './exportSae.ts';
export { geometricMedian } from './geometricMedian.ts';
export type { NormalizerOptions } from './normalizer.ts';
export { opfsStorage } from './opfsStorage.ts';
export type {
  CheckpointOptions,
  DeadLatentOptions,
  OptimizerOptions,
  ParameterGroup,
  ParameterName,
  TrainerOptions,
} from './options.ts';
export type { PermutationOptions } from './permutation.ts';
export type { Phase } from './phases.ts';
export { type ReferenceOptions, referencePreset } from './presets.ts';
export type { ResamplingOptions, WeakLatentOptions } from './resampling.ts';
export {
  constantSchedule,
  cosineSchedule,
  type KAnnealing,
  linearSchedule,
  type Schedule,
  scheduleFactor,
  wsdSchedule,
} from './schedules.ts';
export { eventToJson, jsonlSink } from './sinks/jsonl.ts';
export {
  createSparsityController,
  type SparsityController,
  type SparsityControllerOptions,
  type SparsityControllerState,
} from './sparsityController.ts';
export { TOY_PRESETS, type ToyPreset, type ToyRecipeOptions, toyRecipe } from './toy/toyRecipe.ts';
export { type RunOptions, Trainer } from './trainer.ts';
export { TrainerGroup, type TrainerGroupEvent, type TrainerGroupOptions } from './trainerGroup.ts';
