/** The kernel MsaePrefixLoss on WebGPU. */
import {
  type Implementation,
  isPenalised,
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type PrefixLossOutputs,
  penaltyNumbers,
} from '@msae/core/backend';
import { decodeRows } from './decodeActive.ts';
import { latentLists } from './latentLists.ts';
import { penaltyEpsilon } from './prefixCode.ts';
import { decoderGradient, decoderNorms, rowPass } from './prefixPrograms.ts';
import { bufferOf, gpuBackend, grid, newTensor, record } from './program.ts';
import { columnSums, reportPass } from './reportPrograms.ts';

/** f S′ of a chunk of rows takes at most this many bytes, whatever the batch. */
const CHUNK_BYTES = 1 << 26;

export const prefixLoss: Implementation<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = gpuBackend(instance);
  const [n, d] = inputs.W_dec.shape as [number, number]; // d of the target
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const { reportPrefixes, penalty, lambda } = attrs;
  const reported = reportPrefixes.length;
  const chunk = Math.max(1, Math.min(rows, Math.floor(CHUNK_BYTES / (4 * capacity * d))));
  const y = bufferOf(backend, inputs.target);
  const W = bufferOf(backend, inputs.W_dec);
  const indices = bufferOf(backend, inputs.indices);
  const values = bufferOf(backend, inputs.values);
  const b_dec = bufferOf(backend, inputs.b_dec);
  const weights = bufferOf(backend, inputs.cumulative);
  const decoderWeights = inputs.decoderCumulative ? bufferOf(backend, inputs.decoderCumulative) : weights;

  const atS = chunk * capacity * d;
  const atSquares = atS + rows * d;
  const aux = newTensor(backend, [2 * (n + 1) + d + n]);
  const scratch = newTensor(backend, [atSquares + rows * (capacity + 1)]);
  const spread = newTensor(backend, [d]);
  const lengths = newTensor(backend, [reported], 'int32');
  const dValues = newTensor(backend, [rows, capacity]);
  const dW = newTensor(backend, [n, d]);
  const db = newTensor(backend, [d]);
  const report = newTensor(backend, [3 + 2 * reported]);
  const residual = attrs.keepResidual ? newTensor(backend, [rows, d]) : undefined;
  backend.queue.writeBuffer(lengths.buffer, 0, Int32Array.from(reportPrefixes));

  const commands = record(backend);
  commands.copy(weights, aux.buffer, 0, n + 1);
  commands.copy(decoderWeights, aux.buffer, n + 1, n + 1);
  commands.copy(b_dec, aux.buffer, 2 * (n + 1), d);
  if (isPenalised(penalty)) commands.dispatch(decoderNorms, [W, aux.buffer], [n, d], grid(Math.ceil(n / 64)));
  const lists = latentLists(backend, commands, inputs.indices, n);
  const epsilon = penaltyEpsilon(penalty);
  for (let row0 = 0; row0 < rows; row0 += chunk) {
    const sizes = [rows, n, d, capacity, row0, chunk, lambda, epsilon];
    commands.dispatch(
      rowPass(d, penalty),
      [y, W, indices, values, aux.buffer, dValues.buffer, scratch.buffer],
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
    [y, scratch.buffer, db.buffer, spread.buffer],
    [rows, d, atS, 0],
    [Math.ceil(d / 16), 1, 1],
  );
  commands.dispatch(
    reportPass(penalty),
    [indices, values, scratch.buffer, aux.buffer, spread.buffer, lengths.buffer, report.buffer],
    [rows, n, d, capacity, reported, atSquares, lambda, epsilon, penaltyNumbers(penalty).atZero],
    [3 + 2 * reported, 1, 1],
  );
  if (residual) {
    commands.dispatch(
      decodeRows,
      [W, b_dec, indices, values, y, residual.buffer],
      [n, d, capacity, 1],
      grid(rows),
    );
  }
  commands.submit();
  for (const { info } of [aux, scratch, spread, lengths]) backend.disposeData(info.dataId);
  return {
    dValues: dValues.info,
    dW_dec: dW.info,
    db_dec: db.info,
    report: report.info,
    residual: residual?.info,
  };
};
