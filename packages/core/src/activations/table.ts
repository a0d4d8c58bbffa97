/**
 * Every activation function, by kind. To add one: write its file beside this one, put it into the table and the union below,
 * export its maker from the package, and map its name in the formats that have it.
 */
import { check, msaeError, type Schema, variant } from '@msae/schema';
import { type AbsTopK, absTopKDefinition } from './absTopK.ts';
import { type BatchTopK, batchTopKDefinition } from './batchTopK.ts';
import type { ActivationDefinition, ActivationOptions, ActivationTraits } from './definition.ts';
import { type Identity, identityDefinition } from './identity.ts';
import { type JumpRelu, jumpReluDefinition } from './jumpRelu.ts';
import { type Relu, reluDefinition } from './relu.ts';
import { type TopK, topKDefinition } from './topK.ts';

/** The activation function of an SAE, as plain data. */
export type Activation = Identity | Relu | TopK | AbsTopK | BatchTopK | JumpRelu;

type AnyDefinition = ActivationDefinition<ActivationOptions>;

const table: Readonly<Record<Activation['kind'], AnyDefinition>> = {
  relu: reluDefinition as AnyDefinition,
  topk: topKDefinition as AnyDefinition,
  batchtopk: batchTopKDefinition as AnyDefinition,
  jumprelu: jumpReluDefinition as AnyDefinition,
  abstopk: absTopKDefinition as AnyDefinition,
  identity: identityDefinition as AnyDefinition,
};

/** The kinds there are, in the order they are shown. */
export const activationKinds: readonly Activation['kind'][] = Object.keys(table) as Activation['kind'][];

/** Options of any activation. */
export const activationSchema: Schema<Activation> = variant<Activation>(
  'kind',
  Object.fromEntries(Object.values(table).map(({ kind, schema }) => [kind, schema])),
  { help: 'what a row keeps of its pre-activations' },
);

/** What is known of a kind: one line, its options' schema. @throws MsaeError `option` for an unknown kind */
export function activationDefinition(activation: Activation): ActivationDefinition<ActivationOptions> {
  const definition = table[activation?.kind];
  if (definition === undefined) check(activationSchema, activation, 'activation');
  return definition;
}

/** The traits of an activation, with its options already given to them. */
export interface BoundTraits {
  readonly fixedL0: number | undefined;
  readonly withL0: ((l0: number) => Activation) | undefined;
  readonly learnsThreshold: { readonly initial: number; readonly bandwidth: number } | undefined;
  readonly needsThreshold: boolean;
  readonly signed: boolean;
  readonly selectsAll: boolean;
}

/** See {@link ActivationTraits}. */
export function activationTraits(activation: Activation): BoundTraits {
  const traits = activationDefinition(activation).traits as ActivationTraits<Activation>;
  const { withL0 } = traits;
  return {
    fixedL0: traits.fixedL0?.(activation),
    withL0: withL0 && ((l0) => withL0(activation, l0)),
    learnsThreshold: traits.learnsThreshold?.(activation),
    needsThreshold: traits.needsThreshold ?? false,
    signed: traits.signed ?? false,
    selectsAll: traits.selectsAll ?? false,
  };
}

/**
 * Checks an activation, and its fixed L0 against the number of latents where that is given.
 *
 * @throws MsaeError `option` that names the option, its value and what would be allowed.
 */
export function checkActivation(
  activation: Activation,
  nLatents: number = Number.POSITIVE_INFINITY,
): Activation {
  const checked = check(activationSchema, activation, 'activation');
  const l0 = activationTraits(checked).fixedL0;
  if (l0 !== undefined && l0 > nLatents) {
    throw msaeError(
      'option',
      `${checked.kind}: k = ${l0} is more than the ${nLatents} latents there are; lower k, or use more latents`,
    );
  }
  return checked;
}
