import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { addedName } from '../../src/weights/graph/edits.ts';
import { difference, expectedAt, families, farthest, fixtures, openFamily, runStep } from './models.ts';

describe.each(families)('%s, built from its safetensors folder', async (family) => {
  const model = await openFamily(family);
  const expected = await expectedAt(`${fixtures}/${family}/expected.safetensors`);
  const names = [...expected.values.keys()];
  const { layers, width } = model.architecture;
  const presents = Array.from({ length: layers }, (_, i) => [
    `present.${i}.key`,
    `present.${i}.value`,
  ]).flat();
  const last = `blocks.${layers - 1}.resid_post`;
  afterAll(() => model.close());

  it('lists the taps that transformers has', async () => {
    const points = await model.tapPoints();
    expect(points.map(({ name }) => name).sort()).toEqual(names.filter((name) => name !== 'logits').sort());
  });

  it('computes the logits and every tap that transformers computes', async () => {
    const tensors = [...new Set(names.map(model.resolve))];
    const opened = await model.session(tensors);
    const outputs = await runStep(opened, expected);
    await opened.session.release();
    for (const name of names) {
      const tensor = outputs[model.resolve(name)]!;
      expect(difference(tensor, expected.values.get(name)!, expected), name).toBeLessThan(1e-5);
    }
  });

  it('computes the same from a prompt and cached steps', async () => {
    const opened = await model.session(['logits', 'last_logits', last, ...presents]);
    const whole = [expected.ids[0]!];
    const step = (from: number, to: number, past: Record<string, ort.Tensor> = {}) =>
      runStep(opened, { ids: whole.map((ids) => ids.slice(from, to)), lengths: [to], past });
    const prompt = await step(0, 4);
    const second = await step(4, 6, prompt);
    const third = await step(6, 7, second);
    await opened.session.release();
    for (const name of ['logits', last]) {
      const stepped = [prompt, second, third].flatMap((outputs) => [
        ...(outputs[name]!.data as Float32Array),
      ]);
      const wanted = expected.values.get(name)!.subarray(0, stepped.length);
      expect(farthest(stepped, wanted), name).toBeLessThan(1e-5);
    }
    const vocabulary = third.logits!.dims[2]!;
    const ends = second.logits!.data.slice(-vocabulary) as Float32Array;
    expect(farthest(second.last_logits!.data as Float32Array, ends)).toBe(0);
  });

  it('keeps contexts of different lengths apart in one cache', async () => {
    const [a, b] = expected.ids as [number[], number[]];
    const opened = await model.session(['logits', ...presents]);
    // the second context is two tokens shorter: padded in the prompt, then both go on by one token
    const prompt = await runStep(opened, { ids: [a.slice(0, 4), [...b.slice(0, 2), 0, 0]], lengths: [5, 3] });
    const step = await runStep(opened, {
      ids: [[a[4]!], [b[2]!]],
      lengths: [5, 5],
      mask: [
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 1],
      ],
      positions: [[4], [2]],
      past: prompt,
    });
    await opened.session.release();
    const windows = Array.from({ length: layers }, (_, layer) => model.architecture.windowed(layer)).some(
      Boolean,
    );
    const vocabulary = step.logits!.dims[2]!;
    const logits = expected.values.get('logits')!;
    const at = (context: number, token: number) =>
      logits.subarray((context * 7 + token) * vocabulary, (context * 7 + token + 1) * vocabulary);
    const got = step.logits!.data as Float32Array;
    expect(farthest(got.subarray(0, vocabulary), at(0, 4))).toBeLessThan(1e-5);
    // a window counts places in the cache, padding included
    if (!windows) expect(farthest(got.subarray(vocabulary), at(1, 2))).toBeLessThan(1e-5);
  });

  it('adds to a tap and feeds one, with the same effect; adding nothing changes no bit', async () => {
    const tap = 'blocks.0.resid_post';
    const batch = { ids: [expected.ids[0]!], lengths: [7] };
    const plain = await model.session(['logits', tap]);
    const adding = await model.session(['logits', tap], { added: [tap] });
    const { session, inputs, outputs, fedInput } = await model.splicedSession(tap, ['logits']);
    const clean = await runStep(plain, batch);
    const shape = [1, 7, width];
    const delta = Float32Array.from({ length: 7 * width }, (_, i) => Math.sin(i) / 2);
    const input = (values: Float32Array) => new ort.Tensor('float32', values, shape);
    const none = await runStep(adding, {
      ...batch,
      more: { [addedName(tap)]: input(new Float32Array(7 * width)) },
    });
    const added = await runStep(adding, { ...batch, more: { [addedName(tap)]: input(delta) } });
    const moved = (clean[tap]!.data as Float32Array).map((value, i) => value + delta[i]!);
    const fed = await runStep({ session, inputs, outputs }, { ...batch, more: { [fedInput]: input(moved) } });
    for (const { session: opened } of [plain, adding, { session }]) await opened.release();
    expect(none.logits!.data).toEqual(clean.logits!.data);
    expect(added[tap]!.data).toEqual(clean[tap]!.data);
    expect(farthest(added.logits!.data as Float32Array, clean.logits!.data as Float32Array)).toBeGreaterThan(
      1e-2,
    );
    expect(farthest(added.logits!.data as Float32Array, fed.logits!.data as Float32Array)).toBeLessThan(1e-6);
  });
});
