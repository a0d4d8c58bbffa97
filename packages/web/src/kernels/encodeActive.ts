/** The kernel MsaeEncodeActive on WebGPU: a tile of latents at a time, so that [B, N] need not fit one binding. */
import type { EncodeActiveAttrs } from '@msae/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { batchCutoff, keepOfBatch } from './batchTopKPrograms.ts';
import { keepAbove, keepLargest } from './keepPrograms.ts';
import { preActivations } from './preActivations.ts';
import { bufferOf, type GpuBackend, grid, newTensor, record } from './program.ts';

/** A tile of pre-activations takes at most this many bytes. */
const TILE_BYTES = 1 << 26;

interface Made {
  info: TensorInfo;
  buffer: GPUBuffer;
}

interface Lists {
  indices: Made;
  values: Made;
}

type Inputs = Readonly<Record<string, TensorInfo | undefined>>;

export function encodeActive(backend: GpuBackend, inputs: Inputs, attrs: EncodeActiveAttrs): TensorInfo[] {
  const { mode, capacity, keep, cutoff, margin } = attrs;
  const [rows, d] = inputs.x!.shape as [number, number];
  const n = inputs.b_enc!.shape[0]!;
  const tile = Math.min(n, Math.max(64, Math.floor(TILE_BYTES / (4 * rows) / 64) * 64));
  const x = bufferOf(backend, inputs.x!);
  const W = bufferOf(backend, inputs.W_enc!);
  const b_enc = bufferOf(backend, inputs.b_enc!);
  const b_dec = inputs.b_dec ? bufferOf(backend, inputs.b_dec) : b_enc;
  const threshold = inputs.threshold ? bufferOf(backend, inputs.threshold) : b_enc;
  const made: TensorInfo[] = [];
  const make = (shape: number[], dtype: 'float32' | 'int32' = 'float32'): Made => {
    const tensor = newTensor(backend, shape, dtype);
    made.push(tensor.info);
    return tensor;
  };
  const lists = (width: number): Lists => ({
    indices: make([rows, width], 'int32'),
    values: make([rows, width]),
  });
  const selects = mode === 'topk' || mode === 'batchtopk';
  const pre = make([rows, tile]).buffer;
  const counts = make([rows], 'int32');
  const extra = mode === 'jumprelu' ? make([rows, capacity]) : undefined;
  // The other pair of a selection takes turns with the first one; with a single tile it is never read.
  let [current, other] = [lists(capacity), lists(selects && tile < n ? capacity : 1)];
  const spare = make([selects ? rows : 1]).buffer;
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
      const limit = mode === 'topk' ? Math.min(keep, capacity) : capacity;
      const { indices, values } = current;
      commands.dispatch(
        keepLargest,
        [pre, other.indices.buffer, other.values.buffer, indices.buffer, values.buffer, counts.buffer, spare],
        [n, n0, width, capacity, limit, first, mode === 'batchtopk' ? 1 : 0],
        grid(rows),
      );
    } else {
      commands.dispatch(
        keepAbove,
        [
          pre,
          threshold,
          current.indices.buffer,
          current.values.buffer,
          counts.buffer,
          extra?.buffer ?? spare,
        ],
        [n, n0, width, capacity, first, extra ? 1 : 0, cutoff, margin],
        grid(rows),
      );
    }
  }
  const { indices, values } = current;
  const outputs = [indices.info, values.info, counts.info];
  if (mode === 'batchtopk') {
    const smallest = make([1]);
    const allowance = make([rows], 'int32').buffer;
    commands.dispatch(
      batchCutoff,
      [values.buffer, smallest.buffer, allowance],
      [rows, capacity, keep],
      [1, 1, 1],
    );
    commands.dispatch(
      keepOfBatch,
      [indices.buffer, values.buffer, counts.buffer, spare, smallest.buffer, allowance],
      [rows, capacity, n, 0],
      [Math.ceil(rows / 64), 1, 1],
    );
    outputs.push(smallest.info);
  }
  if (extra) outputs.push(extra.info);
  commands.submit();
  for (const info of made) if (!outputs.includes(info)) backend.disposeData(info.dataId);
  return outputs;
}
