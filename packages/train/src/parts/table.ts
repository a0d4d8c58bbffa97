/**
 * The parts that the trainer has options for, in the order in which their hooks are called. To add one: write its file beside
 * this one, put it here, and give it its line in `TrainerOptions`.
 */
import { auxiliaryLossPart } from './auxiliaryLoss.ts';
import { deadLatentsPart } from './deadLatents.ts';
import { decoderBiasInitPart } from './decoderBiasInit.ts';
import type { PartDefinition, RunningPart, TrainingRun } from './definition.ts';
import { inferenceThresholdPart } from './inferenceThreshold.ts';
import { kAnnealingPart } from './kAnnealing.ts';
import { normalizerPart } from './normalizer.ts';
import { permutationPart } from './permutation.ts';
import { phasesPart } from './phases.ts';
import { resamplingPart } from './resampling.ts';
import { sparsityControllerPart } from './sparsityController.ts';
import { unitNormDecoderPart } from './unitNormDecoder.ts';
import { weightAveragePart } from './weightAverage.ts';

export const standardParts = {
  normalizer: normalizerPart,
  decoderBiasInit: decoderBiasInitPart,
  phases: phasesPart,
  kAnnealing: kAnnealingPart,
  sparsityController: sparsityControllerPart,
  auxiliaryLoss: auxiliaryLossPart,
  unitNormDecoder: unitNormDecoderPart,
  weightAverage: weightAveragePart,
  thresholdDecay: inferenceThresholdPart,
  deadLatents: deadLatentsPart,
  resampling: resamplingPart,
  permutation: permutationPart,
} as const;

const definitions: readonly PartDefinition<unknown>[] = Object.values(standardParts);

/** All parts of a run by name, those that are off left out. @throws MsaeError `option` */
export function startParts(run: TrainingRun): Map<string, RunningPart> {
  const started = new Map<string, RunningPart>();
  try {
    for (const definition of definitions) {
      const value = run.options[definition.name as keyof typeof standardParts];
      const part = value === undefined || value === false ? null : definition.start(value, run);
      if (part !== null) started.set(definition.name, part);
    }
    for (const part of run.options.parts) started.set(part.name, part.start(run));
  } catch (error) {
    for (const part of started.values()) part.dispose?.();
    throw error;
  }
  return started;
}
