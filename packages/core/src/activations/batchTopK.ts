import { literal, number, object } from '@msae/schema';
import { checkedActivation } from './checked.ts';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface BatchTopK {
  readonly kind: 'batchtopk';
  /** Latents a row keeps on average; need not be whole. */
  readonly k: number;
}

/**
 * The k·B largest positive pre-activations of a batch of B rows; in inference what exceeds the running mean of the batches'
 * smallest kept values (Bussmann et al. 2024). @throws MsaeError `option` unless k > 0.
 */
export function batchTopK(k: number): BatchTopK {
  return checkedActivation(batchTopKDefinition, { kind: 'batchtopk', k });
}

export const batchTopKDefinition: ActivationDefinition<BatchTopK> = defineActivation<BatchTopK>({
  kind: 'batchtopk',
  help: 'the k·B largest positive pre-activations of a batch of B rows (Bussmann et al. 2024)',
  schema: object<BatchTopK>({
    kind: literal('batchtopk'),
    k: number({ above: 0, help: 'active latents a row on average' }),
  }),
  traits: { fixedL0: ({ k }) => k, withL0: (_, k) => ({ kind: 'batchtopk', k }), needsThreshold: true },
  select: ({ k }, { rows, nLatents, training, inferenceThreshold }) =>
    training
      ? {
          rule: 'perBatch',
          score: 'value',
          keep: Math.max(1, Math.min(Math.round(k * rows), rows * nLatents)),
        }
      : // Below 0 it would let negative pre-activations through.
        { rule: 'above', score: 'value', cutoff: Math.max(0, inferenceThreshold()) },
});
