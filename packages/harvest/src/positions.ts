/** What running a model on a batch depends on besides its inputs: how many positions it has, whether it reads padding. */
import { msaeError } from '@msae/schema';
import { type FeedPlan, type FeedTraits, isMask, type PaddedBatch } from './feeds.ts';
import type { TransformerModel } from './model.ts';
import type { OnnxTensor, Session } from './runtime.ts';

/** Families that count positions from the padding token on: two of those in their configuration are never used. */
const offset = /^(roberta|xlm-roberta|camembert|xlm-roberta-xl|longformer)$/;
/** Families whose positions are distances, without an end. */
const endless = /^(t5|mt5|umt5|longt5|bloom|mpt)$/;

/** What a plan of feeds has to know of a model. */
export function feedTraits(model: TransformerModel): FeedTraits {
  const { causal, config } = model;
  const type = String(config?.model_type ?? '');
  const named = config?.max_position_embeddings ?? config?.n_positions;
  const positions =
    typeof named === 'number' && named > 2 && !endless.test(type)
      ? named - (offset.test(type) ? 2 : 0)
      : undefined;
  // a model with a mask that a session does without: nothing in it attends
  const masks = model.graph.inputs.some((input) => isMask(input.name ?? ''));
  const readsPadding = masks ? false : causal === undefined ? undefined : !causal;
  return {
    ...(readsPadding !== undefined && { readsPadding }),
    ...(positions !== undefined && { positions }),
  };
}

/** Runs a session on a batch. @throws MsaeError `unsupported` with the runtime's reason and the length of the contexts */
export async function runBatch(
  model: TransformerModel,
  session: Session,
  plan: FeedPlan,
  batch: PaddedBatch,
  more: Readonly<Record<string, OnnxTensor>> = {},
): Promise<Readonly<Record<string, OnnxTensor>>> {
  try {
    return await session.run({ ...plan.feeds(batch), ...more });
  } catch (cause) {
    throw msaeError(
      'unsupported',
      `${model.name}: does not run on ${batch.batch} contexts of ${batch.length} tokens: ${(cause as Error).message}; ` +
        'where it has fewer positions, give a smaller contextLength; where it takes one context at a time, batchSize 1',
      { cause },
    );
  }
}
