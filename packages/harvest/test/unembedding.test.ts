import { expect, it } from 'vitest';
import { unembedding } from '../src/index.ts';
import { brownLm, open } from './helpers.ts';

it('turns the normalised last stream into the logits, but for the constant that the bias adds', async () => {
  const { model } = await open(brownLm);
  const found = (await unembedding(model))!;
  expect(found).toMatchObject({ vocabulary: 4096, width: 128, foldedGain: true });
  const { session } = await model.session(['blocks.3.resid_post', 'logits']);
  const ids = [17, 300, 42, 999];
  const tensor = (values: number[]) =>
    new model.runtime.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const outputs = await session.run({ input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) });
  const x = outputs[model.resolve('blocks.3.resid_post')]!.data as Float32Array;
  const logits = outputs[model.resolve('logits')]!.data as Float32Array;
  const rest = ids.map((_, t) => {
    const row = x.subarray(t * 128, (t + 1) * 128);
    const mean = row.reduce((sum, v) => sum + v, 0) / 128;
    const deviation = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 128 + 1e-5);
    return [5, 77, 4000].map((token) => {
      let product = 0;
      for (let k = 0; k < 128; k++) product += ((row[k]! - mean) / deviation) * found.data[token * 128 + k]!;
      return logits[t * 4096 + token]! - product;
    });
  });
  for (const token of [0, 1, 2]) {
    for (const t of [1, 2, 3]) expect(rest[t]![token]).toBeCloseTo(rest[0]![token]!, 3);
  }
  await session.release();
});

it('is undefined where the last operation is no product with weights', async () => {
  const { model } = await open(brownLm);
  expect(await unembedding(model, 'ln_final.out')).toBeUndefined();
  expect(await unembedding(model, 'blocks.0.attn.products')).toBeUndefined();
});
