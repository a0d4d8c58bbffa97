import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { contextBatches } from '../src/contexts.ts';
import { feedPlan } from '../src/feeds.ts';
import type { TensorInfo } from '../src/runtime.ts';
import { collect, documents } from './helpers.ts';

const info = (name: string, dtype: string, ...shape: (number | string)[]): TensorInfo => ({
  name,
  dtype,
  shape,
});
const tokens = info('input_ids', 'int64', 'b', 't');
const lengths = async (plan: ReturnType<typeof feedPlan>, options: object, ...sizes: number[]) =>
  (await collect(contextBatches(documents(...sizes.map((n) => Array(n).fill(5))), plan, options))).map(
    (batch) => batch.contexts.map((context) => context.ids.length),
  );

describe('feeds', () => {
  it('fills in what exporters ask for', async () => {
    const cache = info('past_key_values.0.key', 'float32', 'b', 4, 'past', 16);
    const inputs = [
      tokens,
      info('attention_mask', 'float32', 'b', 't'),
      info('token_type_ids', 'int32', 'b', 't'),
      info('position_ids', 'int64', 'b', 't'),
      cache,
      info('use_cache_branch', 'bool', 1),
    ];
    const plan = feedPlan('m', inputs, ort);
    const [batch] = await collect(contextBatches(documents([7, 8, 9], [4]), plan));
    const feeds = plan.feeds(batch!);
    expect(Array.from(feeds.input_ids!.data as BigInt64Array, Number)).toEqual([7, 8, 9, 4, 0, 0]);
    expect(Array.from(feeds.attention_mask!.data as Float32Array)).toEqual([1, 1, 1, 1, 0, 0]);
    expect(Array.from(feeds.token_type_ids!.data as Int32Array)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(Array.from(feeds.position_ids!.data as BigInt64Array, Number)).toEqual([0, 1, 2, 0, 1, 2]);
    expect(feeds['past_key_values.0.key']!.dims).toEqual([2, 4, 0, 16]);
    expect(feeds.use_cache_branch!.data).toEqual(new Uint8Array([0]));
  });

  it('keeps to the batch size and length a model insists on', async () => {
    const inputs = [info('input_ids', 'int64', 2, 8), info('attention_mask', 'int64', 2, 8)];
    const plan = feedPlan('m', inputs, ort);
    const batches = await collect(contextBatches(documents([1, 2, 3]), plan, { batchSize: 5 }));
    expect(batches.map(({ batch, length }) => [batch, length])).toEqual([[2, 8]]);
    expect(Array.from(batches[0]!.mask)).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(await lengths(plan, {}, 20)).toEqual([[8, 8], [4]]);
    await expect(lengths(plan, { contextLength: 9 }, 1)).rejects.toThrow('the model takes 8 tokens');
  });

  it('batches by length; without a mask, only what is of one length', async () => {
    const options = { batchSize: 3, sortWindow: 2 };
    const masked = feedPlan('m', [tokens, info('attention_mask', 'int64', 'b', 't')], ort);
    expect(await lengths(masked, options, 2, 9, 4, 9, 4, 1, 7)).toEqual([[9, 9, 4], [4, 2, 1], [7]]);
    const bare = feedPlan('m', [tokens], ort);
    expect(await lengths(bare, options, 2, 9, 4, 9, 4, 1, 7)).toEqual([[9, 9], [4, 4], [2], [1], [7]]);
  });

  it('names the input it cannot feed, and the way out', () => {
    expect(() => feedPlan('vision', [info('pixels', 'float32', 1, 3, 'h', 'w')], ort)).toThrow(
      /vision: cannot feed its input pixels float32 \[1, 3, h, w\].*feeds of your own/s,
    );
    const plan = feedPlan('m', [info('input_ids', 'uint8', 'b', 't')], ort);
    const batch = { batch: 1, length: 1, ids: new Int32Array(1), mask: new Uint8Array(1) };
    expect(() => plan.feeds(batch)).toThrow(
      'input input_ids is uint8; expected int64, int32, bool or float32',
    );
  });
});
