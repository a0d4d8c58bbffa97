import type {
  Implementation,
  LatentGradsAttrs,
  LatentGradsInputs,
  LatentGradsOutputs,
} from '@msae/core/backend';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { f32, runtimeOf } from '../runtime.ts';
import { withOutputs } from './outputs.ts';

const BLOCK = 64;

/** MsaeLatentGrads: one task owns 64 latents and walks their entries in row order; see assembly/latent.ts. */
export const latentGrads: Implementation<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const runtime = runtimeOf(backend);
  return withOutputs(runtime, (out) => {
    const n = attrs.nLatents;
    const d = inputs.x.shape[1]!;
    const [rows, capacity] = inputs.indices.shape as [number, number];
    const at = (name: keyof LatentGradsInputs): number => {
      const info = inputs[name];
      return info === undefined ? 0 : runtime.pointer(info);
    };
    const vector = (): TensorInfo => out.make([n], 'float32');
    const outputs = {
      dW_enc: out.make([d, n], 'float32'),
      db_enc: vector(),
      firings: vector(),
      squares: vector(),
    };
    const learnt = inputs.threshold === undefined ? undefined : { dThreshold: vector(), near: vector() };
    const offsets = runtime.scratch('offsets', (n + 2) * 4);
    const entries = runtime.scratch('entries', rows * capacity * 4);
    const threadBytes = BLOCK * d * 4;
    const scratch = runtime.scratch('latents', threadBytes * runtime.threads);
    runtime.run('transposeLists', 1, [at('indices'), at('counts'), rows, capacity, n, offsets, entries]);
    const to = (info: TensorInfo | undefined): number => (info === undefined ? 0 : runtime.pointer(info));
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
      ...[f32(attrs.bandwidth), ...Object.values(outputs).map(to), to(learnt?.dThreshold), to(learnt?.near)],
      ...[scratch, threadBytes],
    ]);
    return { ...outputs, ...learnt };
  });
};
