import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeActiveKernel, encodeActiveKernel, ownKernels } from '../src/backend.ts';
import { defineKernel, f32, isNumber, type Kernel, optional } from '../src/kernels/defineKernel.ts';

interface Inputs {
  readonly a: tf.Tensor2D;
  readonly b: tf.Tensor1D;
  readonly c?: tf.Tensor1D | undefined;
}
interface Outputs {
  readonly sum: tf.Tensor2D;
  readonly extra?: tf.Tensor2D | undefined;
}

function twice(name: string): Kernel<Inputs, { factor: number }, Outputs> {
  return defineKernel<Inputs, { factor: number }, Outputs>({
    name,
    inputs: { a: f32('B', 'N'), b: f32('N'), c: optional(f32('N+1')) },
    attrs: { factor: isNumber },
    outputs: { sum: f32('B', 'N'), extra: optional(f32('B', 'N')) },
    composed: ({ a, b }, { factor }) => ({ sum: tf.tidy(() => tf.mul(tf.add(a, b), factor)) }),
  });
}

describe('defineKernel', () => {
  beforeAll(async () => {
    await tf.setBackend('cpu');
  });
  const a = (): tf.Tensor2D => tf.ones([2, 3]);
  const b = (): tf.Tensor1D => tf.ones([3]);

  it('checks names, shapes, dtypes and attributes at every call', () => {
    const kernel = twice('TestChecks');
    const run = (inputs: object, attrs: object = { factor: 1 }) =>
      kernel.run(inputs as Inputs, attrs as { factor: number });
    expect(() => run({ a: a(), d: b() })).toThrow('TestChecks: there is no input d');
    expect(() => run({ a: a() })).toThrow('TestChecks: the input b is missing');
    expect(() => run({ a: a(), b: tf.ones([4]) })).toThrow('b: expected shape [N = 3], got [4]');
    expect(() => run({ a: a(), b: b(), c: tf.ones([3]) })).toThrow('c: expected shape [N+1 = 4], got [3]');
    expect(() => run({ a: tf.cast(a(), 'int32'), b: b() })).toThrow('a: expected float32, got int32');
    expect(() => run({ a: a(), b: b() }, { factr: 2 })).toThrow('no attribute factr (did you mean factor?)');
    expect(() => run({ a: a(), b: b() }, { factor: 'x' })).toThrow('the attribute factor cannot be "x"');
  });

  it('takes what a backend provides where it covers the call, else the composition', async () => {
    const kernel = twice('TestProvide');
    const calls: number[] = [];
    kernel.provide(
      'cpu',
      (inputs, { factor }, backend) => {
        calls.push(factor);
        const cpu = backend as unknown as {
          makeTensorInfo(shape: number[], dtype: string, values: Float32Array): tf.TensorInfo;
        };
        const made = (value: number) =>
          cpu.makeTensorInfo(inputs.a.shape, 'float32', new Float32Array(6).fill(value));
        return factor === 7 ? { extra: made(1), sum: made(70) } : { sum: made(10 * factor) };
      },
      { covers: ({ factor }) => factor > 1 },
    );
    const inputs = { a: a(), b: b() };
    const before = tf.memory().numTensors;
    const composed = kernel.run(inputs, { factor: 1 });
    const own = kernel.run(inputs, { factor: 3 });
    const both = kernel.run(inputs, { factor: 7 });
    expect(calls).toEqual([3, 7]);
    expect((await composed.sum.data())[0]).toBe(2);
    expect((await own.sum.data())[0]).toBe(30);
    expect(own.extra).toBeUndefined();
    expect([(await both.sum.data())[0], (await both.extra!.data())[0]]).toEqual([70, 1]);
    expect([kernel.isOwn(), kernel.isOwn({ factor: 1 }), kernel.isOwn({ factor: 2 })]).toEqual([
      true,
      false,
      true,
    ]);
    tf.dispose([composed.sum, own.sum, both.sum, both.extra!]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('an unknown rule or score is refused, whatever the backend', () => {
    const attrs = { rule: 'perRow', score: 'value', keep: 1, cutoff: 0, margin: 0, capacity: 1 } as const;
    const inputs = { x: tf.ones([1, 2]), W_enc: tf.ones([2, 3]), b_enc: tf.ones([3]) } as never;
    expect(() => encodeActiveKernel.run(inputs, { ...attrs, rule: 'softmax' as never })).toThrow(
      'rule cannot be "softmax"',
    );
    expect(() => encodeActiveKernel.run(inputs, { ...attrs, score: 'square' as never })).toThrow(
      'score cannot be "square"',
    );
  });

  it('tells which kernels the current backend runs itself', () => {
    expect(decodeActiveKernel.isOwn()).toBe(true);
    expect(ownKernels().filter((name) => name.startsWith('Msae')).length).toBe(6);
  });
});
