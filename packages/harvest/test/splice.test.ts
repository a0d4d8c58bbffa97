import { describe, expect, it } from 'vitest';
import { evaluateSplice, spliceModel } from '../src/index.ts';
import { brownLm, distance, documents, fixture, open, path, recogniser } from './helpers.ts';

interface Loss {
  crossEntropy: number;
  kl: number;
}

/** Written by tools/brown-lm/splice_reference.py: PyTorch in float64, the stream replaced by a forward hook. */
const reference = fixture<
  { documents: number[][]; tokens: number; clean: number } & Record<'zero' | 'mean' | 'half', Loss>
>('splice.json');

describe('splicing into the example language model', () => {
  it('gives the losses that PyTorch gets', async () => {
    const { model } = await open(brownLm);
    const report = await evaluateSplice(model, documents(...reference.documents), {
      tap: 'blocks.2.resid_post',
      batchSize: 2, // so that the shortest context is in a batch of its own and the second is padded
      reconstructions: { same: (x) => x, half: async (x) => x.map((value) => value / 2) },
    });
    expect(report.tokens).toBe(reference.tokens);
    expect(report.clean).toBeCloseTo(reference.clean, 4);
    const close = (found: Loss, wanted: Loss) => {
      expect(found.crossEntropy).toBeCloseTo(wanted.crossEntropy, 4);
      expect(found.kl).toBeCloseTo(wanted.kl, 4);
    };
    close(report.zeroAblated, reference.zero);
    close(report.meanAblated, reference.mean);
    const { same, half } = report.reconstructions;
    close(half!, reference.half);
    close(same!, { crossEntropy: reference.clean, kl: 0 });
    expect(same!.ceRecovered).toBeCloseTo(1, 6);
    expect(same!.klRecovered).toBeCloseTo(1, 6);
    const { zero, mean, clean } = reference;
    const recovered = (over: number) => (over - reference.half.crossEntropy) / (over - clean);
    expect(half!.ceRecovered).toBeCloseTo(recovered(zero.crossEntropy), 3);
    expect(half!.ceRecoveredOverMean).toBeCloseTo(recovered(mean.crossEntropy), 3);
    expect(half!.klRecovered).toBeCloseTo(1 - reference.half.kl / zero.kl, 3);
  });

  it('leaves what was not replaced alone: a cut that text can go around still reads the text', async () => {
    const { model } = await open(brownLm);
    const report = await evaluateSplice(model, documents(...reference.documents), {
      tap: 'blocks.1.mlp_out',
      reconstructions: { same: (x) => x },
    });
    expect(report.reconstructions.same!.crossEntropy).toBeCloseTo(reference.clean, 4);
    // without one MLP the model is worse, but not as lost as without its stream
    expect(report.zeroAblated.crossEntropy).toBeGreaterThan(reference.clean + 0.001);
    expect(report.zeroAblated.crossEntropy).toBeLessThan(reference.zero.crossEntropy);
  });

  it('says what is wrong', async () => {
    const { model } = await open(brownLm);
    const docs = documents(reference.documents[1]!);
    const same = { same: (x: Float32Array) => x };
    await expect(
      evaluateSplice(model, docs, { tap: 'blocks.2.resid_pots', reconstructions: same }),
    ).rejects.toThrow('blocks.2.resid_post');
    await expect(
      evaluateSplice(model, docs, {
        tap: 'blocks.2.mlp_out',
        output: 'blocks.1.resid_post',
        reconstructions: same,
      }),
    ).rejects.toThrow('does not depend on blocks.2.mlp_out');
    await expect(
      evaluateSplice(model, docs, {
        tap: 'blocks.1.mlp_out',
        output: 'blocks.3.attn_out',
        reconstructions: same,
      }),
    ).rejects.toThrow('name the output that holds them');
    await expect(
      evaluateSplice(model, docs, {
        tap: 'blocks.1.mlp_out',
        reconstructions: { short: (x) => x.subarray(1) },
      }),
    ).rejects.toThrow('reconstruction short');
    await expect(
      evaluateSplice(model, documents([5]), { tap: 'blocks.1.mlp_out', reconstructions: same }),
    ).rejects.toThrow('no token to predict');
  });
});

describe('splicing into exports without names', () => {
  for (const file of ['pre-gelu-dynamo.onnx', 'post-gelu-dynamo.onnx', 'parallel-silu-dynamo.onnx']) {
    it(`${file}: its own stream changes nothing, zeros do`, async () => {
      const { model } = await open(path(`fixtures/${file}`));
      const report = await evaluateSplice(model, documents([1, 2, 3, 4], [5, 6, 7]), {
        tap: 'blocks.0.resid_post',
        reconstructions: { same: (x) => x },
      });
      expect(report.tokens).toBe(5);
      expect(report.reconstructions.same!.kl).toBeCloseTo(0, 6);
      expect(report.zeroAblated.kl).toBeGreaterThan(1e-3);
    });
  }
});

describe('splicing into a text recogniser', () => {
  it('its own stream gives its own characters; zeros do not', async () => {
    const { model } = await open(recogniser);
    const tap = 'p2o.Add.251';
    const whole = await model.session([tap, model.graph.outputs[0]!]);
    const values = Float32Array.from({ length: 3 * 48 * 160 }, (_, i) => Math.sin(i / 7));
    const x = new model.runtime.Tensor('float32', values, [1, 3, 48, 160]);
    const clean = await whole.session.run({ x });
    const cut = await model.splicedSession(tap, [model.graph.outputs[0]!]);
    const output = model.graph.outputs[0]!;
    const rest = (fed: Float32Array) => {
      const feeds = { [cut.fedInput]: new model.runtime.Tensor('float32', fed, clean[tap]!.dims) };
      return cut.session.run(cut.inputs.some((input) => input.name === 'x') ? { ...feeds, x } : feeds);
    };
    const stream = clean[tap]!.data as Float32Array;
    const same = await rest(stream);
    const probabilities = clean[output]!.data as Float32Array;
    expect(distance(same[output]!.data as Float32Array, probabilities)).toBeLessThan(1e-6);
    const zero = await rest(new Float32Array(stream.length));
    expect(distance(zero[output]!.data as Float32Array, probabilities)).toBeGreaterThan(1e-3);
    await whole.session.release();
    await cut.session.release();
  });

  it('is not text: evaluateSplice says which input it cannot feed', async () => {
    const { model } = await open(recogniser);
    await expect(spliceModel(model, 'p2o.Add.251')).rejects.toThrow('cannot feed its input x float32');
  });
});
