/** From documents to padded batches of contexts, in an order that depends on the documents and options alone. */
import { check, msaeError, object, optional, type Schema, whole } from '@msae/schema';
import type { FeedPlan, PaddedBatch } from './feeds.ts';

/** A tokenized document. */
export interface TokenDocument {
  id: number;
  ids: Int32Array;
}

export type Documents = Iterable<TokenDocument> | AsyncIterable<TokenDocument>;

/** A stretch of a document that the model sees at once. */
export interface Context {
  docId: number;
  /** Position of its first token in the document: a multiple of the context length. */
  start: number;
  ids: Int32Array;
  /** The document's token after the last one, -1 at its end. */
  next: number;
}

export interface ContextOptions {
  /** Tokens per context. Default 128. */
  contextLength?: number;
  /** Contexts per batch. Default 32. */
  batchSize?: number;
  /** Batches among which contexts are sorted by length, so that little is padded. Default 16. */
  sortWindow?: number;
}

/** Entries of the schemas of everything that cuts documents into contexts. */
export const contextEntries: { readonly [K in keyof Required<ContextOptions>]: Schema<number> } = {
  contextLength: optional(whole({ min: 1, help: 'tokens that the model sees at once; default 128' })),
  batchSize: optional(whole({ min: 1, help: 'contexts of a batch' }), 32),
  sortWindow: optional(whole({ min: 1, help: 'batches among which contexts are sorted by length' }), 16),
};

const schema: Schema<ContextOptions> = object<ContextOptions>(contextEntries);

/** Only what {@link contextBatches} takes. */
export function contextOptions({ contextLength, batchSize, sortWindow }: ContextOptions): ContextOptions {
  return {
    ...(contextLength !== undefined && { contextLength }),
    ...(batchSize !== undefined && { batchSize }),
    ...(sortWindow !== undefined && { sortWindow }),
  };
}

export interface ContextBatch extends PaddedBatch {
  contexts: Context[];
}

/**
 * Cuts documents into contexts and groups them by length.
 *
 * @throws MsaeError `option`
 */
export async function* contextBatches(
  documents: Documents,
  plan: FeedPlan,
  options: ContextOptions = {},
): AsyncGenerator<ContextBatch> {
  const given = check(schema, options, 'contexts');
  const batchSize = plan.fixedBatch ?? given.batchSize ?? 32;
  const contextLength = given.contextLength ?? plan.fixedLength ?? 128;
  const sortWindow = given.sortWindow ?? 16;
  if (plan.fixedLength !== undefined && contextLength > plan.fixedLength) {
    throw msaeError(
      'option',
      `contextLength: ${contextLength}, but the model takes ${plan.fixedLength} tokens`,
    );
  }
  let waiting: Context[] = [];
  for await (const context of contextsOf(documents, contextLength)) {
    checkLength(context.ids.length, plan);
    waiting.push(context);
    if (waiting.length < batchSize * sortWindow) continue;
    yield* batchesOf(waiting, batchSize, plan);
    waiting = [];
  }
  yield* batchesOf(waiting, batchSize, plan);
}

function checkLength(length: number, plan: FeedPlan): void {
  if (plan.positions !== undefined && length > plan.positions) {
    throw msaeError(
      'option',
      `contextLength: a context of ${length} tokens, but the model has ${plan.positions} positions; give a contextLength ≤ ${plan.positions}`,
    );
  }
  if (
    plan.fixedLength !== undefined &&
    length < plan.fixedLength &&
    !plan.masked &&
    plan.readsPadding !== false
  ) {
    throw msaeError(
      'unsupported',
      `a context of ${length} tokens, but the model takes ${plan.fixedLength}, has no mask, and reads what follows a token` +
        `${plan.readsPadding === undefined ? ' (for all that is known)' : ''}: padding would change every row. Export it with an attention mask or a length that varies`,
    );
  }
}

async function* contextsOf(documents: Documents, contextLength: number): AsyncGenerator<Context> {
  for await (const { id, ids } of documents) {
    for (let start = 0; start < ids.length; start += contextLength) {
      const end = Math.min(start + contextLength, ids.length);
      yield { docId: id, start, ids: ids.subarray(start, end), next: ids[end] ?? -1 };
    }
  }
}

/** Longest first; equal lengths stay in reading order (the sort is stable). */
function* batchesOf(contexts: Context[], batchSize: number, plan: FeedPlan): Generator<ContextBatch> {
  const sorted = [...contexts].sort((a, b) => b.ids.length - a.ids.length);
  for (let i = 0; i < sorted.length; ) {
    const length = sorted[i]!.ids.length;
    const batch: Context[] = [];
    while (i < sorted.length && batch.length < batchSize) {
      // without a mask the model would read the padding, unless there is none
      if (!plan.masked && sorted[i]!.ids.length !== length) break;
      batch.push(sorted[i++]!);
    }
    yield padded(batch, plan.fixedLength ?? length, plan.fixedBatch ?? batch.length);
  }
}

function padded(contexts: Context[], length: number, batch: number): ContextBatch {
  const ids = new Int32Array(batch * length);
  const mask = new Uint8Array(batch * length);
  for (let b = 0; b < batch; b++) {
    const context = contexts[b];
    if (!context) {
      mask[b * length] = 1; // a row of a fixed batch size that is thrown away: one token keeps its softmax finite
      continue;
    }
    ids.set(context.ids, b * length);
    mask.fill(1, b * length, b * length + context.ids.length);
  }
  return { batch, length, ids, mask, contexts };
}
