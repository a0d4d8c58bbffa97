/**
 * MsaeEncodeActive: x W_enc by cuBLAS in blocks of rows, then the lists (kernels/encodeActive.cu). The product is in TF32
 * where lists are short: what its error bound leaves open is computed again in float32, so the lists are float32's.
 */
import type {
  EncodeActiveAttrs,
  EncodeActiveInputs,
  EncodeActiveOutputs,
  Implementation,
} from '@msae/core/backend';
import type { CudaBackend } from '../backend.ts';
import { type Scope, withScope } from '../scope.ts';

/** As in kernels/encodeActive.cu. */
const RULES: Readonly<Record<EncodeActiveAttrs['rule'], number>> = {
  perRow: 0,
  perBatch: 1,
  above: 2,
  aboveThreshold: 3,
};
const SCORES: Readonly<Record<EncodeActiveAttrs['score'], number>> = { value: 0, magnitude: 1 };

/** Longer lists are made from a float32 product by a radix select: putting their entries aside would cost more. */
const LONGEST_SCREENED = 512;

export const encodeActive: Implementation<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> = (
  inputs,
  attrs,
  instance,
) => {
  const backend = instance as CudaBackend;
  const [rows, d] = inputs.x.shape as [number, number];
  const n = inputs.b_enc.shape[0]!;
  const { rule, score, capacity, keep, cutoff, margin } = attrs;
  const limit = rule === 'perRow' ? Math.min(keep, capacity) : capacity;
  return withScope(backend, (scope) => {
    const indices = scope.output([rows, capacity], 'int32');
    const values = scope.output([rows, capacity], 'float32');
    const counts = scope.output([rows], 'int32');
    const pre = rule === 'aboveThreshold' ? scope.output([rows, capacity], 'float32') : undefined;
    const smallestKept = rule === 'perBatch' ? scope.output([1], 'float32') : undefined;
    const job: Job = {
      ...{ backend, scope, rows, d, n, capacity, limit, cutoff, margin },
      rule: RULES[rule],
      magnitude: SCORES[score],
      x: backend.pointer(inputs.x),
      W_enc: backend.pointer(inputs.W_enc),
      b_enc: backend.pointer(inputs.b_enc),
      b_dec: backend.optional(inputs.b_dec),
      threshold: backend.optional(inputs.threshold),
      indices: backend.pointer(indices),
      values: backend.pointer(values),
      counts: backend.pointer(counts),
      pre: backend.optional(pre),
      dropped: smallestKept ? scope.scratch(4 * rows, 'largest values left out') : 0,
    };
    if (rows * capacity > 0) {
      makeLists(job);
      if (smallestKept) keepBatchLargest(job, keep, backend.pointer(smallestKept));
    }
    return { indices, values, counts, ...(pre && { pre }), ...(smallestKept && { smallestKept }) };
  });
};

/** Device pointers and sizes of one call; pointers that are 0 are absent. */
interface Job {
  readonly backend: CudaBackend;
  readonly scope: Scope;
  readonly rows: number;
  readonly d: number;
  readonly n: number;
  readonly capacity: number;
  /** how many a row keeps under the ranked rules */
  readonly limit: number;
  readonly cutoff: number;
  readonly margin: number;
  readonly rule: number;
  /** 1: the score is |pre| */
  readonly magnitude: number;
  readonly x: number;
  readonly W_enc: number;
  readonly b_enc: number;
  readonly b_dec: number;
  readonly threshold: number;
  readonly indices: number;
  readonly values: number;
  readonly counts: number;
  readonly pre: number;
  readonly dropped: number;
}

function makeLists(job: Job): void {
  const { backend, scope, rows, d, n, b_dec } = job;
  const { device } = backend;
  const screened = job.limit < LONGEST_SCREENED;
  const approximate = screened && device.tf32;
  const input = b_dec === 0 ? job.x : scope.scratch(4 * rows * d, 'x − b_dec');
  const rowNorms = scope.scratch(8 * rows, 'norms of rows');
  if (approximate || b_dec !== 0) {
    device.launch('centreRows', rows, 128, [
      ...[job.x, b_dec, b_dec === 0 ? 0 : input, rowNorms],
      ...[additionError(d), d],
    ]);
  }
  const flags = screened ? scope.scratch(4 * rows, 'flags of rows') : 0;
  let [transposed, groupNorms] = [0, 0];
  if (approximate) {
    transposed = scope.scratch(4 * n * d, 'W_enc transposed');
    groupNorms = scope.scratch(8 * Math.ceil(n / 32), 'norms of columns');
    device.launch('transposeWithNorms', Math.ceil(n / 32), 256, [job.W_enc, transposed, groupNorms, d, n]);
  }
  const fits = Math.max(1, Math.min(rows, 65_535, Math.floor(device.scratchBytes / (4 * n))));
  const each = fits >= 256 ? Math.floor(fits / 128) * 128 : fits;
  const pre = scope.scratch(4 * Math.min(each, rows) * n, 'pre-activations');
  for (let row0 = 0; row0 < rows; row0 += each) {
    const size = Math.min(each, rows - row0);
    const x = input + 4 * row0 * d;
    device.timed(approximate ? 'cuBLAS, TF32' : 'cuBLAS, float32', () =>
      device.cublas().multiply({
        ...{ a: x, b: job.W_enc, c: pre, m: size, n, k: d, transposeA: false, transposeB: false },
        ...{ batches: 1, strideA: 0, strideB: 0, tf32: approximate },
      }),
    );
    const list = 4 * row0 * job.capacity;
    const outputs = [
      ...[job.indices + list, job.values + list, job.counts + 4 * row0],
      ...[job.pre === 0 ? 0 : job.pre + list, job.dropped === 0 ? 0 : job.dropped + 4 * row0],
    ];
    const rule = [job.rule, job.magnitude, job.limit, job.cutoff, job.margin] as const;
    const flagged = screened ? flags + 4 * row0 : 0;
    if (screened) {
      device.launch(n % 4 === 0 ? 'screenRowsWide' : 'screenRows', size, 256, [
        ...[pre, x, transposed, job.b_enc, rowNorms + 8 * row0, groupNorms, job.threshold],
        ...rule,
        ...outputs,
        ...[flagged, d, n, job.capacity],
      ]);
    }
    if (approximate)
      device.launch('exactRows', 4 * device.processors, 256, [pre, x, transposed, flagged, size, d, n]);
    device.launch('selectExact', size, 256, [
      ...[pre, job.b_enc, job.threshold, flagged],
      ...rule,
      ...outputs,
      ...[n, job.capacity],
    ]);
  }
}

/**
 * The error of the additions relative to ‖x‖ ‖w‖: the tensor cores add with at least 22 bits, and the float32 sums that the
 * product is held against round too. What TF32 cuts off the operands is measured (kernels/encodeActive.cu).
 */
function additionError(d: number): number {
  return d * 2 ** -22 + 2 ** -19;
}

/** Cuts the rows' lists to the `keep` largest of the batch: a radix select of four digits, ties in the order of rows. */
function keepBatchLargest(job: Job, keep: number, smallest: number): void {
  const { backend, scope, rows, capacity, magnitude, values, counts, indices } = job;
  const { device } = backend;
  const { driver, stream } = device;
  const state = scope.scratch(16, 'state of the batch');
  const histogram = scope.scratch(1024, 'histogram of the batch');
  const ties = scope.scratch(4 * rows, 'ties by row');
  const before = scope.scratch(4 * (rows + 1), 'ties before each row');
  driver.fill(state, 0, 4, stream);
  driver.fill(histogram, 0, 256, stream);
  const blocks = Math.min(rows, 4 * device.processors);
  for (let shift = 24; shift >= 0; shift -= 8) {
    const lists = [values, counts, state, histogram] as const;
    device.launch('batchHistogram', blocks, 128, [...lists, magnitude, shift, rows, capacity]);
    device.launch('batchPick', 1, 32, [state, histogram, keep, shift]);
  }
  device.launch('batchTies', rows, 64, [values, counts, state, ties, magnitude, capacity]);
  device.launch('scanTotals', 1, 1024, [ties, before, rows]);
  device.launch('batchCut', rows, 64, [
    ...[indices, values, counts, job.dropped, state, before, smallest],
    ...[magnitude, keep, capacity, job.n],
  ]);
}
