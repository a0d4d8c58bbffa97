/** The kernels MsaeWeightedPrefixDecode and MsaeDecodeActive on WebGPU. */
import type { PrefixLossAttrs } from '@msae/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { latentLists } from './latentLists.ts';
import { decoderGradient, decoderNorms, rowPass } from './prefixPrograms.ts';
import { bufferOf, type GpuBackend, grid, newTensor, record } from './program.ts';
import { columnSums, decodeRows, reportPass } from './reportPrograms.ts';

/** f S′ of a chunk of rows takes at most this many bytes, whatever the batch. */
const CHUNK_BYTES = 1 << 26;

type Inputs = Readonly<Record<string, TensorInfo | undefined>>;

export function prefixLoss(backend: GpuBackend, inputs: Inputs, attrs: PrefixLossAttrs): TensorInfo[] {
  const [n, d] = inputs.W_dec!.shape as [number, number];
  const [rows, capacity] = inputs.indices!.shape as [number, number];
  const { reportPrefixes, penalty, epsilon, lambda } = attrs;
  const reported = reportPrefixes.length;
  const chunk = Math.max(1, Math.min(rows, Math.floor(CHUNK_BYTES / (4 * capacity * d))));
  const [x, W, indices, values, b_dec, weights] = (
    ['x', 'W_dec', 'indices', 'values', 'b_dec', 'cumulative'] as const
  ).map((name) => bufferOf(backend, inputs[name]!)) as [
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
  ];
  const decoderWeights = inputs.decoderCumulative ? bufferOf(backend, inputs.decoderCumulative) : weights;

  const atS = chunk * capacity * d;
  const atSquares = atS + rows * d;
  const aux = newTensor(backend, [2 * (n + 1) + d + n]);
  const scratch = newTensor(backend, [atSquares + rows * (capacity + 1)]);
  const spread = newTensor(backend, [d]);
  const lengths = newTensor(backend, [Math.max(1, reported)], 'int32');
  const dValues = newTensor(backend, [rows, capacity]);
  const dW = newTensor(backend, [n, d]);
  const db = newTensor(backend, [d]);
  const report = newTensor(backend, [3 + 2 * reported]);
  backend.queue.writeBuffer(lengths.buffer, 0, Int32Array.from(reportPrefixes));

  const commands = record(backend);
  commands.copy(weights, aux.buffer, 0, n + 1);
  commands.copy(decoderWeights, aux.buffer, n + 1, n + 1);
  commands.copy(b_dec, aux.buffer, 2 * (n + 1), d);
  if (penalty !== 'none') commands.dispatch(decoderNorms, [W, aux.buffer], [n, d], grid(Math.ceil(n / 64)));
  const lists = latentLists(backend, commands, inputs.indices!, n);
  for (let row0 = 0; row0 < rows; row0 += chunk) {
    const sizes = [rows, n, d, capacity, row0, chunk, lambda, epsilon];
    commands.dispatch(
      rowPass(d, penalty),
      [x, W, indices, values, aux.buffer, dValues.buffer, scratch.buffer],
      sizes,
      grid(Math.min(chunk, rows - row0)),
    );
    commands.dispatch(
      decoderGradient(penalty),
      [lists.starts, lists.entries, scratch.buffer, W, values, aux.buffer, dW.buffer],
      sizes,
      grid(n),
    );
  }
  commands.dispatch(
    columnSums,
    [x, scratch.buffer, db.buffer, spread.buffer],
    [rows, d, atS, 0],
    [Math.ceil(d / 16), 1, 1],
  );
  const inactive = inactivePenalty(attrs);
  commands.dispatch(
    reportPass(penalty),
    [indices, values, scratch.buffer, aux.buffer, spread.buffer, lengths.buffer, report.buffer],
    [rows, n, d, capacity, Math.max(1, reported), atSquares, lambda, epsilon, inactive],
    [3 + 2 * reported, 1, 1],
  );
  const outputs = [dValues.info, dW.info, db.info, report.info];
  if (attrs.keepResidual) {
    const residual = newTensor(backend, [rows, d]);
    commands.dispatch(
      decodeRows,
      [W, b_dec, indices, values, x, residual.buffer],
      [n, d, capacity, 1],
      grid(rows),
    );
    outputs.push(residual.info);
  }
  commands.submit();
  for (const { info } of [aux, scratch, spread, lengths]) backend.disposeData(info.dataId);
  return outputs;
}

export function decodeActive(backend: GpuBackend, inputs: Inputs): TensorInfo {
  const [n, d] = inputs.W_dec!.shape as [number, number];
  const [rows, capacity] = inputs.indices!.shape as [number, number];
  const [W, b_dec, indices, values] = (['W_dec', 'b_dec', 'indices', 'values'] as const).map((name) =>
    bufferOf(backend, inputs[name]!),
  ) as [GPUBuffer, GPUBuffer, GPUBuffer, GPUBuffer];
  const out = newTensor(backend, [rows, d]);
  const commands = record(backend);
  commands.dispatch(
    decodeRows,
    [W, b_dec, indices, values, b_dec, out.buffer],
    [n, d, capacity, 0],
    grid(rows),
  );
  commands.submit();
  return out.info;
}

/** s(0), which every inactive latent of a prefix costs. */
function inactivePenalty({ penalty, epsilon, subtractLogEpsilon }: PrefixLossAttrs): number {
  if (penalty === 'sqrt') return Math.sqrt(epsilon);
  return penalty === 'log' && !subtractLogEpsilon ? Math.log(epsilon) : 0;
}
