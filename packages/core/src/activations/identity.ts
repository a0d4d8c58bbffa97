import { literal, object } from '@msae/schema';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface Identity {
  readonly kind: 'identity';
}

/** f = pre. Every latent is always active: only for tests and linear baselines. */
export function identity(): Identity {
  return { kind: 'identity' };
}

export const identityDefinition: ActivationDefinition<Identity> = defineActivation<Identity>({
  kind: 'identity',
  help: 'every pre-activation as it is: a linear baseline',
  schema: object<Identity>({ kind: literal('identity') }),
  traits: { signed: true, selectsAll: true },
  select: () => 'all',
});
