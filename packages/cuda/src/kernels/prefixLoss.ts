/** MsaePrefixLoss: the loss of all prefixes and the decoder's gradients (kernels/prefixLoss.cu). */
import {
  type Implementation,
  isPenalised,
  type Penalty,
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type PrefixLossOutputs,
  penaltyNumbers,
} from '@msae/core/backend';
import type { CudaBackend } from '../backend.ts';
import { withScope } from '../scope.ts';
import { attachSquares } from './globalNorm.ts';
import { type LatentLists, latentListsOf, makeLatentLists } from './latentLists.ts';
import { rowBlock } from './rowBlock.ts';

const PENALTIES: Readonly<Record<Penalty['kind'], number>> = { none: 0, l1: 1, log: 2, sqrt: 3, tanh: 4 };

export const prefixLoss: Implementation<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = instance as CudaBackend;
  const { device } = backend;
  const at = (name: keyof PrefixLossInputs): number => backend.optional(inputs[name]);
  const [n, d] = inputs.W_dec.shape as [number, number];
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const { reportPrefixes: lengths, penalty } = attrs;
  const R = lengths.length;
  const penalised = isPenalised(penalty);
  const epsilon = 'epsilon' in penalty ? penalty.epsilon : 1;
  return withScope(backend, (scope) => {
    const dValues = scope.output([rows, capacity], 'float32');
    const dW = scope.output([n, d], 'float32');
    const db = scope.output([d], 'float32');
    const report = scope.output([3 + 2 * R], 'float32');
    const residual = attrs.keepResidual ? scope.output([rows, d], 'float32') : undefined;

    const lengthsAt = scope.scratch(4 * Math.max(1, R), 'prefix lengths');
    if (R > 0) device.upload(lengthsAt, Int32Array.from(lengths), 4 * R);
    const rowReports = scope.scratch(8 * rows * (2 + 2 * R), 'report by row');
    const S0 = scope.scratch(4 * rows * d, 'gradient of b_dec by row');
    let [norms, slopes] = [0, 0];
    if (penalised) {
      norms = scope.scratch(4 * n, 'norms of latents');
      slopes = scope.scratch(4 * rows * capacity, 'slopes of the penalty');
      device.launch('rowNorms', Math.ceil(n / 8), 256, [at('W_dec'), norms, n, d]);
    }

    const each = Math.max(
      1,
      Math.min(rows, Math.floor(device.scratchBytes / (4 * d * Math.max(1, capacity)))),
    );
    const S = scope.scratch(4 * each * capacity * d, 'suffix sums');
    const slots = scope.scratch(4 * each * capacity, 'places of suffix sums');
    const decode = rowBlock('prefixRows', d);
    const part = rowBlock('decoderParts', d);
    const latent = rowBlock('latentDecoder', d);
    const values = at('values');
    const squares = attachSquares(backend, dW, n);
    for (let row0 = 0; row0 < rows; row0 += each) {
      const size = Math.min(each, rows - row0);
      device.launch(decode.kernel, size, decode.threads, [
        ...[at('target'), at('W_dec'), at('b_dec'), at('indices'), values, at('counts')],
        ...[at('cumulative'), at('decoderCumulative'), lengthsAt, R, 2 / rows],
        ...[backend.pointer(dValues), S, slots, S0, rowReports, backend.optional(residual)],
        ...[row0, d, n, capacity],
      ]);
      if (penalised) {
        const from = 4 * row0 * capacity;
        device.launch('penaltyRows', Math.ceil(size / 4), 128, [
          ...[
            at('indices') + from,
            values + from,
            at('counts') + 4 * row0,
            at('cumulative'),
            norms,
            lengthsAt,
            R,
          ],
          ...[
            PENALTIES[penalty.kind],
            epsilon,
            attrs.lambda,
            attrs.lambda / rows,
            backend.pointer(dValues) + from,
            slopes + from,
          ],
          ...[rowReports + 8 * row0 * (2 + 2 * R), size, n, capacity],
        ]);
      }
      const whole = size === rows;
      const lists: LatentLists = whole
        ? latentListsOf(backend, { indices: inputs.indices, counts: inputs.counts, n })
        : makeLatentLists(backend, at('indices'), at('counts'), { row0, rows: size, capacity, n });
      const sums = scope.scratch(4 * lists.parts * d, 'parts of latents');
      device.launch(part.kernel, lists.parts, part.threads, [
        ...[lists.offsets, lists.entries, lists.partOffsets, lists.partLatents],
        ...[values, S, slots, sums, row0 * capacity, d, n],
      ]);
      device.launch(latent.kernel, n, latent.threads, [
        ...[lists.offsets, lists.entries, lists.partOffsets, sums, values, S, slots],
        ...[slopes, norms, at('W_dec'), backend.pointer(dW), squares, row0 * capacity, d, row0 > 0 ? 1 : 0],
      ]);
      if (!whole) for (const pointer of lists.pointers) device.allocator.free(pointer);
    }
    const spread = scope.scratch(8 * d, 'variance by column');
    const perChunk = Math.max(16, Math.ceil(rows / 256));
    const chunks = Math.ceil(rows / perChunk);
    const partials = scope.scratch(32 * chunks * d, 'sums of columns');
    device.launch('columnPartials', [Math.ceil(d / 128), chunks, 2], 128, [
      ...[S0, at('target'), partials],
      ...[rows, d, perChunk],
    ]);
    device.launch('columnTotals', [Math.ceil(d / 32), 2, 1], 256, [
      ...[partials, backend.pointer(db), spread],
      ...[chunks, rows, d],
    ]);
    device.launch('finishReport', 3 + 2 * R, 256, [
      ...[rowReports, spread, at('cumulative'), lengthsAt, backend.pointer(report)],
      ...[R, rows, d, n, attrs.lambda, penaltyNumbers(penalty).atZero],
    ]);
    return { dValues, dW_dec: dW, db_dec: db, report, ...(residual && { residual }) };
  });
};
