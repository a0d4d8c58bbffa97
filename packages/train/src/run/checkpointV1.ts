/** Checkpoints of version 1: the same tensors under other names, and options that do not say how prefixes are drawn. */
import { checkConfig } from '@msae/core';
import type { PrefixScheme } from '@msae/sampler';
import { createRng } from '@msae/sampler';
import type { CheckpointState, OpenedCheckpoint } from './checkpoint.ts';

const tensorNames: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  thresholdDecay: { average: 'threshold.average' },
  deadLatents: { silent_for: 'latents.silent_for', firings: 'latents.firings' },
  permutation: { contribution: 'latents.contribution', sorted_by: 'latents.sorted_by' },
  resampling: { worth: 'latents.worth' },
};

/** A version 1 state in version 2's words. */
export function upgraded(old: object): Pick<OpenedCheckpoint, 'state' | 'tensorName'> {
  const { normalizer, controller, pendingTokens, inferenceThreshold, sae, ...state } =
    old as CheckpointState & {
      readonly normalizer: number | null;
      readonly controller: unknown;
      readonly pendingTokens: number | null;
      readonly inferenceThreshold: number | null;
    };
  const { weightAverage } = state.options;
  return {
    state: {
      ...state,
      sae: checkConfig(sae),
      state: {
        transform: { input: [] },
        inferenceThreshold,
        prefixes: null,
        record: { training: null, metadata: {}, source: null, warnings: [] },
      },
      initialSteps: 0,
      parts: {
        normalizer,
        ...(controller !== null && { sparsityController: controller }),
        ...(pendingTokens !== null && { deadLatents: { pendingTokens } }),
        ...(weightAverage !== false && weightAverage !== undefined && { weightAverage: null }),
        thresholdDecay: null,
        permutation: null,
        resampling: null,
      },
    },
    tensorName: (part, tensor) =>
      part === 'weightAverage' ? `average.${tensor}` : (tensorNames[part]?.[tensor] ?? `${part}.${tensor}`),
  };
}

/** How version 1 tells a scheme: its kind and what it draws from seed 0, at most 64 of each. */
export function drawnBySeed0(scheme: PrefixScheme, nLatents: number): unknown {
  const { lengths, weights } = scheme.sample(nLatents, createRng(0));
  const first = (values: ArrayLike<number>): number[] => Array.from(values).slice(0, 64);
  return { kind: scheme.kind, lengths: first(lengths), weights: first(weights) };
}

/** The options of version 1 without the schemes it cannot tell; those with fixed lengths it can. */
export function plainOptions(
  options: Readonly<Record<string, unknown>>,
  nLatents: number,
): { options: Record<string, unknown>; lacks: string[] } {
  const lacks: string[] = [];
  const rebuilt = (value: unknown, name: string): unknown => {
    const { kind, lengths, weights } = value as { kind: string; lengths: number[]; weights: number[] };
    if (kind === 'full') return { kind };
    if (kind !== 'truncated-pareto' && lengths.at(-1) === nLatents)
      return { kind: 'fixed-widths', lengths, weights };
    lacks.push(name);
    return undefined;
  };
  const { prefixes, phases, ...rest } = options;
  return {
    options: {
      ...rest,
      prefixes: rebuilt(prefixes, 'prefixes'),
      phases: (phases as { prefixes?: unknown }[]).map(({ prefixes: own, ...phase }, i) => ({
        ...phase,
        ...(own !== undefined && { prefixes: rebuilt(own, `phases[${i}].prefixes`) }),
      })),
    },
    lacks,
  };
}
