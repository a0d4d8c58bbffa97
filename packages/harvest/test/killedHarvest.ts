import type { HarvestToStoresOptions, TokenDocument, TransformerModel } from '../src/index.ts';
import { brownLm, documents, lcg, open } from './helpers.ts';

/** The same harvest for the process that is killed and the one that resumes it. */
export async function killedHarvest(): Promise<{
  model: TransformerModel;
  documents: TokenDocument[];
  options: Omit<HarvestToStoresOptions, 'stores'>;
}> {
  const random = lcg(7);
  const texts = Array.from({ length: 150 }, () =>
    Array.from({ length: 20 + Math.floor(random() * 200) }, () => 1 + Math.floor(random() * 4000)),
  );
  const { model } = await open(brownLm);
  return {
    model,
    documents: documents(...texts),
    options: {
      origin: 'a test',
      contextLength: 64,
      batchSize: 8,
      sortWindow: 4,
      shardBytes: 150_000,
      dtype: 'F32',
    },
  };
}
