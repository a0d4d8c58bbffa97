/** A k that falls while training: activations that fix L0 start easier with a larger one. */
import { activationTraits } from '@msae/core';
import { msaeError, object, type Schema, whole } from '@msae/schema';
import type { PartDefinition } from './definition.ts';

/** k falls linearly from `from` to `to` over the first `steps` steps. */
export interface KAnnealing {
  readonly from: number;
  readonly to: number;
  readonly steps: number;
}

/** The integer k at `step`: `from` at step 0, `to` from step `steps` on. */
export function annealedK(annealing: KAnnealing, step: number): number {
  const progress = annealing.steps > 0 ? Math.min(1, step / annealing.steps) : 1;
  return Math.round(annealing.from + (annealing.to - annealing.from) * progress);
}

const schema: Schema<KAnnealing> = object<KAnnealing>(
  {
    from: whole({ min: 1, help: 'k of the first step' }),
    to: whole({ min: 1, help: 'k from then on' }),
    steps: whole({ min: 0, help: 'steps between the two' }),
  },
  { help: 'a k that falls linearly at the start' },
);

export const kAnnealingPart: PartDefinition<KAnnealing> = {
  name: 'kAnnealing',
  schema,
  start(annealing, { sae }) {
    const { activation, nLatents } = sae.config;
    const { withL0 } = activationTraits(activation);
    if (withL0 === undefined) {
      throw msaeError(
        'option',
        `kAnnealing needs an activation that fixes L0 (topk, batchtopk), got ${activation.kind}`,
      );
    }
    for (const name of ['from', 'to'] as const) {
      if (annealing[name] > nLatents) {
        throw msaeError(
          'option',
          `kAnnealing.${name} must be a whole number between 1 and ${nLatents}, got ${annealing[name]}`,
        );
      }
    }
    return {
      plan(plan) {
        plan.activation = withL0(annealedK(annealing, plan.done - 1));
      },
    };
  },
};
