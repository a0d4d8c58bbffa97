import { literal, object, whole } from '@msae/schema';
import { checkedActivation } from './checked.ts';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface TopK {
  readonly kind: 'topk';
  /** Latents a row keeps. */
  readonly k: number;
}

/** The k largest positive pre-activations of each row (Gao et al. 2024). @throws MsaeError `option` unless k is an integer ≥ 1. */
export function topK(k: number): TopK {
  return checkedActivation(topKDefinition, { kind: 'topk', k });
}

export const topKDefinition: ActivationDefinition<TopK> = defineActivation<TopK>({
  kind: 'topk',
  help: 'the k largest positive pre-activations of each row (Gao et al. 2024)',
  schema: object<TopK>({ kind: literal('topk'), k: whole({ min: 1, help: 'active latents a row' }) }),
  traits: { fixedL0: ({ k }) => k, withL0: (_, k) => ({ kind: 'topk', k: Math.max(1, Math.round(k)) }) },
  select: ({ k }) => ({ rule: 'perRow', score: 'value', keep: k }),
});
