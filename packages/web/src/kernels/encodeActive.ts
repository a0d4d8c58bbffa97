/** The kernel MsaeEncodeActive on WebGPU: a tile of latents at a time, so that [B, N] need not fit one binding. */
import type {
  EncodeActiveAttrs,
  EncodeActiveInputs,
  EncodeActiveOutputs,
  Implementation,
} from '@msae/core/backend';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { batchCutoff, keepOfBatch } from './batchTopKPrograms.ts';
import { keepAbove, keepLargest } from './keepPrograms.ts';
import { preActivations } from './preActivations.ts';
import { bufferOf, gpuBackend, grid, type NewTensor, newTensor, record } from './program.ts';

/** A tile of pre-activations takes at most this many bytes. */
const TILE_BYTES = 1 << 26;

interface Lists {
  indices: NewTensor;
  values: NewTensor;
}

export const encodeActive: Implementation<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = gpuBackend(instance);
  const { rule, capacity, keep, cutoff, margin } = attrs;
  const magnitude = attrs.score === 'magnitude' ? 1 : 0;
  const [rows, d] = inputs.x.shape as [number, number];
  const n = inputs.b_enc.shape[0]!;
  const tile = Math.min(n, Math.max(64, Math.floor(TILE_BYTES / (4 * rows) / 64) * 64));
  const x = bufferOf(backend, inputs.x);
  const W = bufferOf(backend, inputs.W_enc);
  const b_enc = bufferOf(backend, inputs.b_enc);
  const b_dec = inputs.b_dec ? bufferOf(backend, inputs.b_dec) : b_enc;
  const threshold = inputs.threshold ? bufferOf(backend, inputs.threshold) : b_enc;
  const made: TensorInfo[] = [];
  const make = (shape: number[], dtype: 'float32' | 'int32' = 'float32'): NewTensor => {
    const tensor = newTensor(backend, shape, dtype);
    made.push(tensor.info);
    return tensor;
  };
  const lists = (width: number): Lists => ({
    indices: make([rows, width], 'int32'),
    values: make([rows, width]),
  });
  const selects = rule === 'perRow' || rule === 'perBatch';
  const pre = make([rows, tile]).buffer;
  const counts = make([rows], 'int32');
  const listedPre = rule === 'aboveThreshold' ? make([rows, capacity]) : undefined;
  // The other pair of a selection takes turns with the first one; with a single tile it is never read.
  let [current, other] = [lists(capacity), lists(selects && tile < n ? capacity : 1)];
  const spare = make([selects ? rows : 1]).buffer; // perBatch: the largest score that a row has left out
  const commands = record(backend);
  for (let n0 = 0; n0 < n; n0 += tile) {
    const width = Math.min(tile, n - n0);
    const first = n0 === 0 ? 1 : 0;
    commands.dispatch(
      preActivations,
      [x, W, b_enc, b_dec, pre],
      [rows, d, n, n0, width, inputs.b_dec ? 1 : 0],
      [Math.ceil(width / 64), Math.ceil(rows / 64), 1],
    );
    if (selects) {
      if (!first) [current, other] = [other, current];
      const limit = rule === 'perRow' ? Math.min(keep, capacity) : capacity;
      const { indices, values } = current;
      commands.dispatch(
        keepLargest,
        [pre, other.indices.buffer, other.values.buffer, indices.buffer, values.buffer, counts.buffer, spare],
        [n, n0, width, capacity, limit, first, rule === 'perBatch' ? 1 : 0, magnitude],
        grid(rows),
      );
    } else {
      const { indices, values } = current;
      commands.dispatch(
        keepAbove,
        [pre, threshold, indices.buffer, values.buffer, counts.buffer, listedPre?.buffer ?? spare],
        [n, n0, width, capacity, first, listedPre ? 1 : 0, magnitude, cutoff, margin],
        grid(rows),
      );
    }
  }
  const { indices, values } = current;
  const smallestKept = rule === 'perBatch' ? make([1]) : undefined;
  if (smallestKept) {
    const allowance = make([rows + 1], 'int32').buffer;
    commands.dispatch(
      batchCutoff,
      [values.buffer, smallestKept.buffer, allowance],
      [rows, capacity, keep, magnitude],
      [1, 1, 1],
    );
    commands.dispatch(
      keepOfBatch,
      [indices.buffer, values.buffer, counts.buffer, spare, smallestKept.buffer, allowance],
      [rows, capacity, n, magnitude, 0],
      [Math.ceil(rows / 64), 1, 1],
    );
  }
  commands.submit();
  const outputs: EncodedInfos = {
    indices: indices.info,
    values: values.info,
    counts: counts.info,
    pre: listedPre?.info,
    smallestKept: smallestKept?.info,
  };
  const kept = new Set<TensorInfo | undefined>(Object.values(outputs));
  for (const info of made) if (!kept.has(info)) backend.disposeData(info.dataId);
  return outputs;
};

type EncodedInfos = Record<'indices' | 'values' | 'counts', TensorInfo> &
  Record<'pre' | 'smallestKept', TensorInfo | undefined>;
