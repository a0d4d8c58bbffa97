import { check } from '@msae/schema';
import { type Context, type ContextCollector, contextCollector } from '../contexts.ts';
import type { EvaluationBatch } from '../evaluationBatch.ts';
import type { Metric } from './definition.ts';
import { contextsSchema } from './options.ts';

export interface ContextsOptions {
  /** Contexts kept a latent. Default 10. */
  readonly count?: number;
  /** Tokens before and after the firing token. Default 10 and 5. */
  readonly before?: number;
  readonly after?: number;
}

interface State {
  readonly collector: ContextCollector;
  readonly nLatents: number;
}

/** The strongest contexts of every latent; empty where the stream has no token ids. */
export function contextsMetric(
  options: ContextsOptions = {},
): Metric<'contexts', State, readonly (readonly Context[])[]> {
  check(contextsSchema, options, 'contextsMetric');
  return {
    name: 'contexts',
    start: ({ nLatents }) => ({ collector: contextCollector({ nLatents, ...options }), nLatents }),
    add({ collector }, { active, tokens }) {
      if (!tokens.tokenIds) return;
      const positions = readingOrder(tokens);
      collector.add({ active, tokens: tokens.tokenIds, ...(positions && { positions }) });
    },
    result: ({ collector, nLatents }) =>
      Array.from({ length: nLatents }, (_, latent) => collector.contexts(latent)),
  };
}

/** Positions that count up by one only within a document. */
function readingOrder({ positions, docIds }: EvaluationBatch): ArrayLike<number> | undefined {
  if (!positions || !docIds) return positions;
  return Float64Array.from(positions, (position, row) => docIds[row]! * 2 ** 32 + position);
}
