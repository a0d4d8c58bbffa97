import { literal, object, whole } from '@msae/schema';
import { checkedActivation } from './checked.ts';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface AbsTopK {
  readonly kind: 'abstopk';
  /** Latents a row keeps. */
  readonly k: number;
}

/**
 * The k pre-activations of each row that are largest in magnitude, with their signs: a latent has a positive and a negative
 * meaning (Zhu et al. 2025, "AbsTopK"; SAELens `AbsTopK`). @throws MsaeError `option` unless k is an integer ≥ 1.
 */
export function absTopK(k: number): AbsTopK {
  return checkedActivation(absTopKDefinition, { kind: 'abstopk', k });
}

export const absTopKDefinition: ActivationDefinition<AbsTopK> = defineActivation<AbsTopK>({
  kind: 'abstopk',
  help: 'the k pre-activations of each row largest in magnitude, signs kept (Zhu et al. 2025)',
  schema: object<AbsTopK>({ kind: literal('abstopk'), k: whole({ min: 1, help: 'active latents a row' }) }),
  traits: {
    fixedL0: ({ k }) => k,
    withL0: (_, k) => ({ kind: 'abstopk', k: Math.max(1, Math.round(k)) }),
    signed: true,
  },
  select: ({ k }) => ({ rule: 'perRow', score: 'magnitude', keep: k }),
});
