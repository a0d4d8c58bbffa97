import { openFile } from '@msae/data/node';
import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { openWeights } from '../../src/weights/openWeights.ts';
import { difference, expectedAt, farthest, fixtures, ggufModels, runStep } from './models.ts';

describe.each(ggufModels)('%s.gguf', async (name) => {
  const open = async (dequantised: boolean) =>
    openWeights(await openFile(`${fixtures}/${name}.gguf`), {
      runtime: ort,
      sessionOptions: { intraOpNumThreads: 1 },
      dequantised,
    });
  const model = await open(false);
  const expected = await expectedAt(`${fixtures}/${name}.expected.safetensors`);
  const names = [...expected.values.keys()];
  const { layers } = model.architecture;
  const presents = Array.from({ length: layers }, (_, i) => [
    `present.${i}.key`,
    `present.${i}.value`,
  ]).flat();
  afterAll(() => model.close());

  it.each([false, true])(
    'computes what transformers computes from it; weights unpacked: %s',
    async (dequantised) => {
      const opened = dequantised ? await open(true) : model;
      const {
        session,
        inputs,
        outputs: infos,
      } = await opened.session([...new Set(names.map(opened.resolve))]);
      const outputs = await runStep({ session, inputs, outputs: infos }, expected);
      await session.release();
      if (dequantised) await opened.close();
      for (const tap of names) {
        const tensor = outputs[model.resolve(tap)]!;
        // the large gemma3 of `all` is sharp: transformers in float32 is itself 7e-6 from float64 there
        const bound = name.startsWith('gemma3') ? 2e-5 : 1e-5;
        expect(difference(tensor, expected.values.get(tap)!, expected), tap).toBeLessThan(bound);
      }
    },
  );

  it('computes the same step by step, with the cache', async () => {
    const opened = await model.session(['logits', ...presents]);
    const ids = expected.ids[0]!;
    let past = {};
    const logits: number[] = [];
    for (const [from, to] of [
      [0, 4],
      [4, 5],
      [5, 7],
    ] as const) {
      const outputs = await runStep(opened, { ids: [ids.slice(from, to)], lengths: [to], past });
      logits.push(...(outputs.logits!.data as Float32Array));
      past = outputs;
    }
    await opened.session.release();
    expect(farthest(logits, expected.values.get('logits')!.subarray(0, logits.length))).toBeLessThan(1e-5);
  });
});
