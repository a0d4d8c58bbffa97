import type * as tf from '@tensorflow/tfjs-core';
import { describe, expectTypeOf, it } from 'vitest';
import {
  type Activation,
  createSae,
  encode,
  type MatryoshkaStep,
  matryoshkaLoss,
  matryoshkaStep,
  type Penalty,
  type Sae,
  type SaeGradients,
  type SaeParams,
  sparseStep,
  topK,
} from '../src/index.ts';

describe('public types', () => {
  it('an SAE and its parameters', () => {
    expectTypeOf(createSae).returns.toEqualTypeOf<Sae>();
    expectTypeOf<SaeParams['W_enc']>().toEqualTypeOf<tf.Variable<tf.Rank.R2>>();
    expectTypeOf<SaeParams['threshold']>().toEqualTypeOf<tf.Variable<tf.Rank.R1> | undefined>();
    expectTypeOf<Activation['kind']>().toEqualTypeOf<
      'identity' | 'relu' | 'topk' | 'abstopk' | 'batchtopk' | 'jumprelu'
    >();
    expectTypeOf<Penalty['kind']>().toEqualTypeOf<'none' | 'l1' | 'log' | 'sqrt' | 'tanh'>();
  });

  it('steps and losses', () => {
    expectTypeOf(encode).returns.toEqualTypeOf<tf.Tensor2D>();
    expectTypeOf(matryoshkaLoss).returns.toEqualTypeOf<tf.Scalar>();
    expectTypeOf(matryoshkaStep).returns.toEqualTypeOf<MatryoshkaStep>();
    expectTypeOf(sparseStep).returns.toExtend<MatryoshkaStep>();
    expectTypeOf<MatryoshkaStep['grads']>().toEqualTypeOf<SaeGradients>();
  });

  it('mistakes do not compile', () => {
    // @ts-expect-error nLatents is missing
    () => createSae({ dModel: 4 });
    // @ts-expect-error k is a number
    () => topK('32');
    // @ts-expect-error prefixes are needed
    (sae: Sae, x: tf.Tensor2D) => matryoshkaStep(sae, x, {});
    // @ts-expect-error plain data cannot be changed behind the SAE's back
    (sae: Sae) => (sae.config.nLatents = 3);
  });
});
