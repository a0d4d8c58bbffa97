/**
 * The parts that the trainer has options for, in the order in which their hooks are called. To add one: write its file beside
 * this one, put it here, and give it its line in `TrainerOptions`.
 */
import { type AuxiliaryLossOptions, auxiliaryLossPart } from './auxiliaryLoss.ts';
import { type DeadLatentOptions, deadLatentsPart } from './deadLatents.ts';
import { type DecoderBiasInitOptions, decoderBiasInitPart } from './decoderBiasInit.ts';
import type { PartDefinition, RunningPart, TrainingRun } from './definition.ts';
import { inferenceThresholdPart } from './inferenceThreshold.ts';
import { type KAnnealing, kAnnealingPart } from './kAnnealing.ts';
import { type NormalizerOptions, normalizerPart } from './normalizer.ts';
import { type OutlierRowsOptions, outlierRowsPart } from './outlierRows.ts';
import { type PermutationOptions, permutationPart } from './permutation.ts';
import { type Phase, phasesPart } from './phases.ts';
import { type ResamplingOptions, resamplingPart } from './resampling.ts';
import { type SparsityControllerOptions, sparsityControllerPart } from './sparsityController.ts';
import { unitNormDecoderPart } from './unitNormDecoder.ts';
import { type WeightAverageOptions, weightAveragePart } from './weightAverage.ts';

/** Their options, by name. */
interface StandardOptions {
  readonly outlierRows: OutlierRowsOptions;
  readonly normalizer: NormalizerOptions;
  readonly decoderBiasInit: DecoderBiasInitOptions;
  readonly phases: readonly Phase[];
  readonly kAnnealing: KAnnealing;
  readonly sparsityController: SparsityControllerOptions;
  readonly auxiliaryLoss: AuxiliaryLossOptions;
  readonly unitNormDecoder: boolean;
  readonly weightAverage: WeightAverageOptions;
  readonly thresholdDecay: number;
  readonly deadLatents: DeadLatentOptions;
  readonly resampling: ResamplingOptions;
  readonly permutation: PermutationOptions;
}

export const standardParts: { readonly [N in keyof StandardOptions]: PartDefinition<StandardOptions[N]> } = {
  outlierRows: outlierRowsPart,
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
};

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
