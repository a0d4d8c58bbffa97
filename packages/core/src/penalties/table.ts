/** Every sparsity penalty, by kind. To add one: write its file beside this one, put it into the table and the union below, export its maker. */
import { check, type Schema, variant } from '@msae/schema';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { PenaltyDefinition, PenaltyNumbers, PenaltyOptions } from './definition.ts';
import { type L1, l1Definition } from './l1.ts';
import { type Log, logDefinition } from './log.ts';
import { type None, noneDefinition } from './none.ts';
import { type Sqrt, sqrtDefinition } from './sqrt.ts';
import { type Tanh, tanhDefinition } from './tanh.ts';

/** The sparsity penalty of an SAE, as plain data. */
export type Penalty = None | L1 | Log | Sqrt | Tanh;

type AnyDefinition = PenaltyDefinition<PenaltyOptions>;

const table: Readonly<Record<Penalty['kind'], AnyDefinition>> = {
  none: noneDefinition as AnyDefinition,
  l1: l1Definition as AnyDefinition,
  log: logDefinition as AnyDefinition,
  sqrt: sqrtDefinition as AnyDefinition,
  tanh: tanhDefinition as AnyDefinition,
};

/** The kinds there are, in the order they are shown. */
export const penaltyKinds: readonly Penalty['kind'][] = Object.keys(table) as Penalty['kind'][];

/** Options of any penalty. */
export const penaltySchema: Schema<Penalty> = variant<Penalty>(
  'kind',
  Object.fromEntries(Object.values(table).map(({ kind, schema }) => [kind, schema])),
  { help: 'what an active latent costs' },
);

/** @throws MsaeError `option` for an unknown kind or an ε that is not above 0. */
export function checkPenalty(penalty: Penalty): Penalty {
  return check(penaltySchema, penalty, 'penalty');
}

/** Does it cost anything at all? */
export function isPenalised(penalty: Penalty): boolean {
  return definitionOf(penalty) !== (noneDefinition as AnyDefinition);
}

/** s and s′ for numbers. */
export function penaltyNumbers(penalty: Penalty): PenaltyNumbers {
  return definitionOf(penalty).numbers(penalty);
}

/** s(u), element by element; call it inside a tidy. */
export function penaltyValue(penalty: Penalty, u: Tensor): Tensor {
  return definitionOf(penalty).value(penalty, u);
}

/** s′(u), element by element; call it inside a tidy. */
export function penaltySlope(penalty: Penalty, u: Tensor): Tensor {
  return definitionOf(penalty).slope(penalty, u);
}

function definitionOf(penalty: Penalty): AnyDefinition {
  const definition = table[penalty?.kind];
  if (definition === undefined) checkPenalty(penalty);
  return definition;
}
