import { check } from '@msae/schema';
import type { ActivationDefinition, ActivationOptions } from './definition.ts';

/** An activation's options, checked by its own schema. */
export function checkedActivation<A extends ActivationOptions>(
  definition: ActivationDefinition<A>,
  options: A,
): A {
  return check(definition.schema, options, definition.kind);
}
