import type { LatentGradsAttrs } from '@msae/core';
import type { NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import { f32, type Runtime } from '../runtime.ts';
import { withOutputs } from './outputs.ts';

const BLOCK = 64;

/** MsaeLatentGrads: one task owns 64 latents and walks their entries in row order; see assembly/latent.ts. */
export function latentGrads(
  runtime: Runtime,
  inputs: NamedTensorInfoMap,
  attrs: LatentGradsAttrs,
): TensorInfo[] {
  return withOutputs(runtime, (out) => {
    const n = attrs.nLatents;
    const d = inputs.x!.shape[1]!;
    const [rows, capacity] = inputs.indices!.shape as [number, number];
    const at = (name: string): number => (inputs[name] === undefined ? 0 : runtime.pointer(inputs[name]));
    const vector = (): TensorInfo => out.make([n], 'float32');
    const outputs = [out.make([d, n], 'float32'), vector(), vector(), vector()];
    if (inputs.threshold !== undefined) outputs.push(vector(), vector());
    const offsets = runtime.scratch('offsets', (n + 2) * 4);
    const entries = runtime.scratch('entries', rows * capacity * 4);
    const threadBytes = BLOCK * d * 4;
    const scratch = runtime.scratch('latents', threadBytes * runtime.threads);
    runtime.run('transposeLists', 1, [at('indices'), at('counts'), rows, capacity, n, offsets, entries]);
    const to = (i: number): number => (outputs[i] === undefined ? 0 : runtime.pointer(outputs[i]));
    runtime.run('latentGrads', Math.ceil(n / BLOCK), [
      ...[
        at('x'),
        d,
        n,
        capacity,
        offsets,
        entries,
        at('values'),
        at('dValues'),
        at('b_dec'),
        at('pre'),
        at('threshold'),
      ],
      ...[f32(attrs.bandwidth), to(0), to(1), to(2), to(3), to(4), to(5), scratch, threadBytes],
    ]);
    return outputs;
  });
}
