import { literal, number, object, optional } from '@msae/schema';
import { checkedActivation } from './checked.ts';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface JumpRelu {
  readonly kind: 'jumprelu';
  /** First value of every latent's threshold θ, in units of the pre-activations. */
  readonly threshold: number;
  /** h, the width of the straight-through estimator's rectangle kernel. */
  readonly bandwidth: number;
}

/**
 * pre · 1[pre > θ] with a learned threshold θ per latent (Rajamanoharan et al. 2024).
 * @throws MsaeError `option` unless threshold ≥ 0 and bandwidth > 0.
 */
export function jumpRelu({
  threshold = 0.001,
  bandwidth = 0.001,
}: Partial<Omit<JumpRelu, 'kind'>> = {}): JumpRelu {
  return checkedActivation(jumpReluDefinition, { kind: 'jumprelu', threshold, bandwidth });
}

export const jumpReluDefinition: ActivationDefinition<JumpRelu> = defineActivation<JumpRelu>({
  kind: 'jumprelu',
  help: 'pre where it exceeds a learned threshold per latent (Rajamanoharan et al. 2024)',
  schema: object<JumpRelu>({
    kind: literal('jumprelu'),
    threshold: optional(number({ min: 0, help: 'first threshold of every latent' }), 0.001),
    bandwidth: optional(number({ above: 0, help: 'width of the straight-through window' }), 0.001),
  }),
  traits: { learnsThreshold: ({ threshold, bandwidth }) => ({ initial: threshold, bandwidth }) },
  select: ({ bandwidth }, { training }) => ({
    rule: 'aboveThreshold',
    score: 'value',
    margin: training ? bandwidth / 2 : 0,
  }),
});
