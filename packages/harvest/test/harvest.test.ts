import { describe, expect, it } from 'vitest';
import type { HarvestOptions } from '../src/harvest.ts';
import { type HarvestedBatch, harvest, type TransformerModel } from '../src/index.ts';
import { brownLm, collect, distance, documents, fixture, lcg, open } from './helpers.ts';

const tap = 'blocks.2.resid_post';
const reference = fixture<{ documents: number[][]; streamStart: number[] }>('splice.json');

/** Documents of many lengths. */
function someDocuments(count: number, seed = 1): number[][] {
  const random = lcg(seed);
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + Math.floor(random() ** 2 * 70) }, () => 1 + Math.floor(random() * 4000)),
  );
}

async function all(
  model: TransformerModel,
  docs: number[][],
  options: Partial<HarvestOptions> = {},
): Promise<{ rows: number; data: number[]; ids: number[]; positions: number[]; docIds: number[] }> {
  const batches = await collect(harvest(model, documents(...docs), { taps: [tap], ...options }));
  const join = (part: (batch: HarvestedBatch) => ArrayLike<number>) =>
    batches.flatMap((batch) => Array.from(part(batch)));
  return {
    rows: batches.reduce((sum, batch) => sum + batch.rows, 0),
    data: join((batch) => batch.activations[0]!.data),
    ids: join((batch) => batch.tokenIds),
    positions: join((batch) => batch.positions),
    docIds: join((batch) => batch.docIds),
  };
}

describe('harvest', () => {
  it('gives what PyTorch computes', async () => {
    const { model } = await open(brownLm);
    const { data } = await all(model, [reference.documents[0]!]);
    expect(distance(data.slice(5 * 128, 5 * 128 + 8), reference.streamStart)).toBeLessThan(1e-4);
  });

  it('gives every token once, with its id, position and document, and no padding', async () => {
    const { model } = await open(brownLm);
    const docs = someDocuments(40);
    const options = { contextLength: 16, batchSize: 4, sortWindow: 3 };
    const { rows, ids, positions, docIds } = await all(model, docs, options);
    expect(rows).toBe(docs.flat().length);
    const seen = new Set<string>();
    for (let row = 0; row < rows; row++) {
      expect(ids[row]).toBe(docs[docIds[row]!]![positions[row]!]);
      seen.add(`${docIds[row]} ${positions[row]}`);
    }
    expect(seen.size).toBe(rows);
  });

  it('a row does not depend on what it is batched with', async () => {
    const { model } = await open(brownLm);
    const docs = someDocuments(12, 2);
    const byToken = async (batchSize: number) => {
      const { rows, data, positions, docIds } = await all(model, docs, { contextLength: 32, batchSize });
      const found = new Map<string, number[]>();
      for (let row = 0; row < rows; row++) {
        found.set(`${docIds[row]} ${positions[row]}`, data.slice(row * 128, (row + 1) * 128));
      }
      return found;
    };
    const [alone, together] = [await byToken(1), await byToken(12)];
    expect(together.size).toBe(alone.size);
    for (const [key, row] of alone) expect(distance(together.get(key)!, row)).toBeLessThan(1e-4);
  });

  it('stops at maxTokens and starts at firstRow, wherever in a batch they fall', async () => {
    const { model } = await open(brownLm);
    const docs = someDocuments(20, 3);
    const options = { contextLength: 16, batchSize: 3, sortWindow: 2 };
    const whole = await all(model, docs, options);
    for (const [firstRow, maxTokens] of [
      [0, 1],
      [7, 100],
      [100, 101],
      [0, whole.rows + 5],
      [whole.rows, whole.rows],
    ] as const) {
      const part = await all(model, docs, { ...options, firstRow, maxTokens });
      const end = Math.min(maxTokens, whole.rows);
      expect(part.rows).toBe(end - firstRow);
      expect(part.positions).toEqual(whole.positions.slice(firstRow, end));
      expect(distance(part.data, whole.data.slice(firstRow * 128, end * 128))).toBe(0);
    }
  });

  it('leaves out tokens that are to be skipped, but the model still reads them', async () => {
    const { model } = await open(brownLm);
    const whole = await all(model, [[0, 11, 12, 13]]);
    const part = await all(model, [[0, 11, 12, 13]], { skipTokenIds: [0] });
    expect(part.positions).toEqual([1, 2, 3]);
    expect(part.data).toEqual(whole.data.slice(128));
  });

  it('computes nothing that its taps do not need', async () => {
    const { model } = await open(brownLm);
    const { session } = await model.session([tap]);
    expect(session.outputNames).toEqual([tap]);
    await session.release();
    const batches = await collect(harvest(model, documents([1, 2, 3]), { taps: [tap, 'blocks.0.mlp_out'] }));
    expect(batches[0]!.activations.map((one) => [one.tap, one.width])).toEqual([
      [tap, 128],
      ['blocks.0.mlp_out', 128],
    ]);
  });

  it('ends when it is aborted', async () => {
    const { model } = await open(brownLm);
    const abort = new AbortController();
    const reason = new Error('enough');
    const run = async () => {
      for await (const _ of harvest(model, documents(...someDocuments(30)), {
        taps: [tap],
        batchSize: 2,
        signal: abort.signal,
      })) {
        abort.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
  });
});
