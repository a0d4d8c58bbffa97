import { literal, object } from '@msae/schema';
import { type ActivationDefinition, defineActivation } from './definition.ts';

export interface Relu {
  readonly kind: 'relu';
}

/** f = max(pre, 0). */
export function relu(): Relu {
  return { kind: 'relu' };
}

export const reluDefinition: ActivationDefinition<Relu> = defineActivation<Relu>({
  kind: 'relu',
  help: 'max(pre, 0); a penalty makes it sparse',
  schema: object<Relu>({ kind: literal('relu') }),
  traits: {},
  select: () => ({ rule: 'above', score: 'value', cutoff: 0 }),
});
