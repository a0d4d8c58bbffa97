import type { AdamAttrs } from '@msae/core';
import { type NamedTensorInfoMap, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { f32, type Runtime } from '../runtime.ts';

const CHUNK = 65_536;

/** MsaeAdam: one pass over param, m, v and grad, in place. */
export function adam(runtime: Runtime, inputs: NamedTensorInfoMap, attrs: AdamAttrs): TensorInfo[] {
  const at = (name: string): number => runtime.pointer(inputs[name]!);
  const length = util.sizeFromShape(inputs.param!.shape);
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const corrections = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step), weightDecay, 1 - beta1, 1 - beta2];
  runtime.run('adam', Math.ceil(length / CHUNK), [
    ...[at('param'), at('m'), at('v'), at('grad'), at('scale'), length],
    ...[learningRate, beta1, beta2, epsilon, ...corrections].map(f32),
  ]);
  return [];
}

/** MsaeGlobalNorm: partial sums of 65,536 values, added in order in float64. */
export function globalNorm(runtime: Runtime, inputs: NamedTensorInfoMap): TensorInfo[] {
  let sum = 0;
  for (const info of Object.values(inputs)) {
    const length = util.sizeFromShape(info!.shape);
    const chunks = Math.ceil(length / CHUNK);
    const partials = runtime.scratch('norm', Math.max(1, chunks) * 8);
    runtime.run('sumOfSquares', chunks, [runtime.pointer(info!), length, partials]);
    for (const part of runtime.doubles(partials, chunks)) sum += part;
  }
  const out = runtime.backend.makeOutput([1], 'float32');
  runtime.floats(runtime.pointer(out), 1)[0] = Math.sqrt(sum);
  return [out];
}

/** MsaeDecodeActive. */
export function decodeActive(runtime: Runtime, inputs: NamedTensorInfoMap): TensorInfo[] {
  const [rows, capacity] = inputs.indices!.shape as [number, number];
  const d = inputs.b_dec!.shape[0]!;
  const at = (name: string): number => runtime.pointer(inputs[name]!);
  const out = runtime.backend.makeOutput([rows, d], 'float32');
  const lists = [at('indices'), at('values'), at('counts'), rows, capacity, d];
  runtime.run('decodeRows', Math.ceil(rows / 16), [at('W_dec'), at('b_dec'), ...lists, runtime.pointer(out)]);
  return [out];
}
