import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  batchTopK,
  checkFinite,
  createSae,
  decode,
  encode,
  jumpRelu,
  log,
  matryoshkaStep,
  readMetrics,
  relu,
  saeFromWeights,
  topK,
} from '../src/index.ts';

const sae = () => createSae({ dModel: 3, nLatents: 5 });
const prefixes = { lengths: [2, 5], weights: [1, 1] };

describe('bad input gets one clear error', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });
  afterEach(() => {
    Object.assign(tf.backend(), { device: undefined });
  });

  it.each([
    [
      'a wrong width',
      () => encode(sae(), tf.zeros([2, 4])),
      'x: expected shape [batch, d_model = 3], got [2, 4]',
    ],
    [
      'an empty batch',
      () => encode(sae(), tf.zeros([0, 3])),
      'x: expected shape [batch, d_model = 3], got [0, 3]',
    ],
    ['a vector', () => encode(sae(), tf.zeros([3]) as unknown as tf.Tensor2D), 'got [3]'],
    [
      'another dtype',
      () => encode(sae(), tf.zeros([2, 3], 'int32')),
      'x: expected float32, got int32; cast it first',
    ],
    ['no tensor', () => encode(sae(), null as unknown as tf.Tensor2D), 'got null'],
    [
      'k above N',
      () => createSae({ dModel: 3, nLatents: 5, activation: topK(6) }),
      'topk: k = 6 is more than the 5 latents',
    ],
    ['k of 0', () => topK(0), 'topk: k: expected a whole number ≥ 1, got 0'],
    [
      'a fractional width',
      () => createSae({ dModel: 2.5, nLatents: 5 }),
      'sae: dModel: expected a whole number ≥ 1, got 2.5',
    ],
    [
      'a bandwidth of 0',
      () => jumpRelu({ bandwidth: 0 }),
      'jumprelu: bandwidth: expected a number > 0, got 0',
    ],
    ['an epsilon of 0', () => log({ epsilon: 0 }), 'log penalty: epsilon: expected a number > 0, got 0'],
    [
      'unsorted prefixes',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes: { lengths: [4, 2, 5], weights: [1, 1, 1] } }),
      'prefix 1 has 2 after 4',
    ],
    [
      'a prefix beyond N',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes: { lengths: [2, 6], weights: [1, 1] } }),
      'length 6 (prefix 1) is not an integer between 0 and N = 5',
    ],
    [
      'a last prefix short of N',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes: { lengths: [2, 4], weights: [1, 1] } }),
      'the last prefix must be all N = 5 latents, got 4',
    ],
    [
      'decoder weights of another length',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes, decoderPrefixWeights: [1] }),
      '2 lengths and 1 weights',
    ],
    [
      'a coefficient that is NaN',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes, penaltyCoefficient: Number.NaN }),
      'penaltyCoefficient must be a finite number, got NaN',
    ],
    [
      'an L0 penalty without thresholds',
      () => matryoshkaStep(sae(), tf.zeros([2, 3]), { prefixes, l0Penalty: { coefficient: 1 } }),
      'l0Penalty trains thresholds, but an SAE with activation relu learns none',
    ],
    [
      'weights of a wrong length',
      () =>
        saeFromWeights(sae().config, {
          W_enc: new Float32Array(14),
          b_enc: new Float32Array(5),
          W_dec: new Float32Array(15),
          b_dec: new Float32Array(3),
        }),
      'W_enc [3, 5]: expected 15 values, got 14',
    ],
    [
      'weights with a NaN',
      () =>
        saeFromWeights(sae().config, {
          W_enc: new Float32Array(15),
          b_enc: [0, 0, Number.NaN, 0, 0],
          W_dec: new Float32Array(15),
          b_dec: new Float32Array(3),
        }),
      'b_enc [5]: value 2 is NaN',
    ],
    [
      'an unknown option',
      () => createSae({ dModel: 3, nLatents: 5, activaton: relu() } as never),
      'createSae: there is no option activaton (did you mean activation?)',
    ],
    [
      'an unknown activation',
      () => createSae({ dModel: 3, nLatents: 5, activation: { kind: 'TopK', k: 2 } as never }),
      'expected one of relu, topk, batchtopk, jumprelu, abstopk, identity, got "TopK" (did you mean topk?)',
    ],
    ['neither dModel nor input', () => createSae({ nLatents: 5 }), 'give either dModel, or input'],
    [
      'b_dec subtracted from the input of a transcoder',
      () => createSae({ input: 3, output: 4, nLatents: 5, applyBDecToInput: true }),
      'only an autoencoder can subtract b_dec',
    ],
    [
      'a transcoder without a target',
      () => matryoshkaStep(createSae({ input: 3, output: 4, nLatents: 5 }), tf.zeros([2, 3]), { prefixes }),
      'pass { target }',
    ],
    [
      'a target with other rows',
      () =>
        matryoshkaStep(createSae({ input: 3, output: 4, nLatents: 5 }), tf.zeros([2, 3]), {
          prefixes,
          target: tf.zeros([3, 4]),
        }),
      'target has 3 rows, x has 2',
    ],
    [
      'a layer norm undone without its rows',
      () => {
        const steps = [{ kind: 'layer-norm', epsilon: 1e-5 }] as const;
        const plain = sae();
        plain.transform = { input: steps, output: steps };
        return decode(plain, tf.zeros([2, 5]));
      },
      'its transform (layer-norm) depends on the row; pass { x }',
    ],
    [
      'a mean of another width',
      () =>
        saeFromWeights(
          sae().config,
          {
            W_enc: new Float32Array(15),
            b_enc: new Float32Array(5),
            W_dec: new Float32Array(15),
            b_dec: [0, 0, 0],
          },
          { transform: { input: [{ kind: 'centre', mean: new Float32Array(4) }] } },
        ),
      'transform: centre: mean: expected 3 values, got 4',
    ],
    [
      'batchtopk inference without a threshold',
      () => encode(createSae({ dModel: 3, nLatents: 5, activation: batchTopK(2) }), tf.zeros([2, 3])),
      'no inference threshold yet',
    ],
  ])('%s', (_name, run, message) => {
    expect(run).toThrow(message);
  });

  it('a NaN in the batch is named by readMetrics', async () => {
    const x = tf.tensor2d([0, 1, 2, 3, Number.NaN, 5], [2, 3]);
    const model = sae();
    const step = matryoshkaStep(model, x, { prefixes });
    await expect(readMetrics(step, { sae: model, x })).rejects.toThrow('x: the value at [1, 1] is NaN');
  });

  it('an infinity is found by checkFinite', async () => {
    await expect(checkFinite('W', tf.tensor1d([1, Number.POSITIVE_INFINITY]))).rejects.toThrow(
      'W: the value at [1] is Infinity',
    );
  });

  it('a tensor over the device limit is refused before it is made', () => {
    const model = sae();
    const device = { limits: { maxBufferSize: 1000, maxStorageBufferBindingSize: 64 } };
    Object.assign(tf.backend(), { device });
    expect(() => encode(model, tf.zeros([4, 3]))).toThrow(
      "takes 80 bytes, but the cpu device's largest buffer is 64",
    );
  });

  it('a failed construction leaves no tensor behind', () => {
    const before = tf.memory().numTensors;
    expect(() =>
      saeFromWeights(
        { dModel: 3, nLatents: 5, activation: relu(), penalty: log(), applyBDecToInput: false },
        {
          W_enc: new Float32Array(15),
          b_enc: new Float32Array(5),
          W_dec: new Float32Array(15),
          b_dec: new Float32Array(2),
        },
      ),
    ).toThrow('b_dec [3]: expected 3 values, got 2');
    expect(tf.memory().numTensors).toBe(before);
  });
});
