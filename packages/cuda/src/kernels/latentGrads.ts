/** MsaeLatentGrads: the encoder's gradients from the active entries, latent by latent (kernels/latentGrads.cu). */
import type {
  Implementation,
  LatentGradsAttrs,
  LatentGradsInputs,
  LatentGradsOutputs,
} from '@msae/core/backend';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';
import { attachSquares } from './globalNorm.ts';
import { latentListsOf } from './latentLists.ts';
import { rowBlock } from './rowBlock.ts';

export const latentGrads: Implementation<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = instance as CudaBackend;
  const { device } = backend;
  const d = inputs.x.shape[1]!;
  const capacity = inputs.indices.shape[1]!;
  const { nLatents: n, bandwidth } = attrs;
  const at = (name: keyof LatentGradsInputs): number => backend.optional(inputs[name]);
  return withScope(backend, (scope) => {
    const dW = scope.output([d, n], 'float32');
    const [db_enc, firings, squares] = [0, 1, 2].map(() => scope.output([n], 'float32')) as [
      TensorInfo,
      TensorInfo,
      TensorInfo,
    ];
    const learned =
      inputs.threshold === undefined
        ? undefined
        : { dThreshold: scope.output([n], 'float32'), near: scope.output([n], 'float32') };
    const own = latentListsOf(backend, { indices: inputs.indices, counts: inputs.counts, n });
    const lists = [own.offsets, own.entries] as const;
    const gate = [at('pre'), at('threshold')] as const;
    const parts = scope.scratch(4 * own.parts * d, 'parts of latents');
    const partTotals = scope.scratch(4 * own.parts, 'totals of parts');
    const { kernel, threads } = rowBlock('encoderParts', d);
    device.launch(kernel, own.parts, threads, [
      ...[...lists, own.partOffsets, own.partLatents, at('x'), at('dValues'), ...gate],
      ...[parts, partTotals, d, n, capacity],
    ]);
    const tiles = [Math.ceil(n / 32), Math.ceil(d / 128), 1] as const;
    const squareCount = tiles[0] * tiles[1];
    device.launch('latentEncoder', tiles, 256, [
      ...[at('x'), at('b_dec'), ...lists, own.partOffsets, parts, partTotals, at('dValues'), ...gate],
      ...[backend.pointer(dW), attachSquares(backend, dW, squareCount), d, n, capacity],
    ]);
    device.launch('latentTotals', Math.ceil(n / 8), 256, [
      ...[...lists, at('values'), at('dValues'), ...gate, bandwidth],
      ...[db_enc, firings, squares, learned?.dThreshold, learned?.near].map((info) => backend.optional(info)),
      n,
    ]);
    return { dW_enc: dW, db_enc, firings, squares, ...learned };
  });
};
