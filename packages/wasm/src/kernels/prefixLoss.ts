import {
  type Implementation,
  type Infos,
  type Penalty,
  type PrefixLossAttrs,
  type PrefixLossInputs,
  type PrefixLossOutputs,
  penaltyNumbers,
} from '@msae/core/backend';
import { f32, type Runtime, runtimeOf } from '../runtime.ts';
import { type Outputs, withOutputs } from './outputs.ts';

const SLICE = 128;
/** As in assembly/finish.ts. */
const PENALTIES: Record<Penalty['kind'], number> = { none: 0, l1: 1, log: 2, sqrt: 3, tanh: 4 };

/** Penalties that the compiled code knows. */
export function coversPrefixLoss({ penalty }: PrefixLossAttrs): boolean {
  return PENALTIES[penalty.kind] !== undefined;
}

/** MsaePrefixLoss: slices of 128 columns, each owned by one task; see assembly/decode.ts. */
export const prefixLoss: Implementation<PrefixLossInputs, PrefixLossAttrs, PrefixLossOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const runtime = runtimeOf(backend);
  return withOutputs(runtime, (out) => run(runtime, inputs, attrs, out));
};

function run(
  runtime: Runtime,
  inputs: Infos<PrefixLossInputs>,
  attrs: PrefixLossAttrs,
  out: Outputs,
): Infos<PrefixLossOutputs> {
  const [n, d] = inputs.W_dec.shape as [number, number];
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const lengths = attrs.reportPrefixes;
  const R = lengths.length;
  const at = (name: keyof PrefixLossInputs): number => {
    const info = inputs[name];
    return info === undefined ? 0 : runtime.pointer(info);
  };
  const dValues = out.make([rows, capacity], 'float32');
  const dW = out.make([n, d], 'float32');
  const db = out.make([d], 'float32');
  const report = out.make([3 + 2 * R], 'float32');
  const residual = attrs.keepResidual ? out.make([rows, d], 'float32') : undefined;

  const slices = Math.ceil(d / SLICE);
  const blocks = Math.ceil(rows / 64);
  const threadBytes = 2 * SLICE * 4 + (capacity + 1) * 4 + 16 + (capacity + 2) * SLICE * 4;
  const dots = runtime.scratch('dots', slices * rows * capacity * 4);
  const partials = runtime.scratch('report', (slices + blocks) * (2 + R) * 8);
  const lengthsAt = runtime.scratch('lengths', Math.max(4, R * 4));
  const scratch = runtime.scratch('slices', threadBytes * runtime.threads);
  runtime.ints(lengthsAt, R).set(lengths);

  const dWAt = runtime.pointer(dW);
  const bytes = n * d * 4;
  runtime.run('zero', Math.ceil(bytes / 2 ** 20), [dWAt, bytes]);
  runtime.run('decodeSlice', slices, [
    ...[at('target'), at('W_dec'), at('b_dec'), at('indices'), at('values'), at('counts')],
    ...[
      at('cumulative'),
      at('decoderCumulative'),
      rows,
      capacity,
      d,
      n,
      dWAt,
      runtime.pointer(db),
      dots,
      partials,
    ],
    ...[lengthsAt, R, scratch, threadBytes, residual === undefined ? 0 : runtime.pointer(residual)],
  ]);

  const kind = PENALTIES[attrs.penalty.kind];
  let [offsets, entries, norms, slopes] = [0, 0, 0, 0];
  if (kind !== 0) {
    offsets = runtime.scratch('offsets', (n + 2) * 4);
    entries = runtime.scratch('entries', rows * capacity * 4);
    norms = runtime.scratch('norms', n * 4);
    slopes = runtime.scratch('slopes', rows * capacity * 4);
    runtime.run('transposeLists', 1, [at('indices'), at('counts'), rows, capacity, n, offsets, entries]);
    runtime.run('latentNorms', Math.ceil(n / 256), [at('W_dec'), n, d, offsets, norms]);
  }
  const finishPartials = partials + slices * (2 + R) * 8;
  runtime.run('finishValues', blocks, [
    ...[dots, slices, rows, capacity, at('indices'), at('values'), at('counts'), runtime.pointer(dValues)],
    ...[
      kind,
      f32('epsilon' in attrs.penalty ? attrs.penalty.epsilon : 0),
      f32(attrs.lambda),
      norms,
      at('cumulative'),
      n,
      slopes,
      lengthsAt,
      R,
      finishPartials,
    ],
  ]);
  if (kind !== 0) {
    runtime.run('penaltyRows', Math.ceil(n / 256), [
      at('W_dec'),
      n,
      d,
      offsets,
      entries,
      norms,
      slopes,
      dWAt,
    ]);
  }
  writeReport(
    runtime,
    { partials, slices, blocks, rows, n, lengths, attrs, cumulative: at('cumulative') },
    runtime.pointer(report),
  );
  return { dValues, dW_dec: dW, db_dec: db, report, ...(residual && { residual }) };
}

interface ReportParts {
  partials: number;
  slices: number;
  blocks: number;
  rows: number;
  n: number;
  lengths: readonly number[];
  attrs: PrefixLossAttrs;
  cumulative: number;
}

/** Adds the partial sums in a fixed order: [L, L0, variance, R_p …, S_p …]. */
function writeReport(runtime: Runtime, parts: ReportParts, to: number): void {
  const { slices, blocks, rows, n, lengths, attrs } = parts;
  const R = lengths.length;
  const width = 2 + R;
  const sums = runtime.doubles(parts.partials, (slices + blocks) * width);
  const report = new Float64Array(3 + 2 * R);
  for (let s = 0; s < slices; s++) {
    report[0]! += sums[s * width]!;
    report[2]! += sums[s * width + 1]!;
    for (let q = 0; q < R; q++) report[3 + q]! += sums[s * width + 2 + q]!;
  }
  for (let b = slices; b < slices + blocks; b++) {
    report[0]! += sums[b * width]!;
    report[1]! += sums[b * width + 1]!;
    for (let q = 0; q < R; q++) report[3 + R + q]! += sums[b * width + 2 + q]!;
  }
  for (let i = 0; i < report.length; i++) report[i]! /= rows;
  const inactive = penaltyNumbers(attrs.penalty).atZero;
  if (inactive !== 0) {
    const cumulative = runtime.floats(parts.cumulative, n + 1);
    let held = 0;
    for (let i = 0; i < n; i++) held += cumulative[n]! - cumulative[i]!;
    report[0]! += attrs.lambda * inactive * held;
    for (let q = 0; q < R; q++) report[3 + R + q]! += inactive * lengths[q]!;
  }
  runtime.floats(to, report.length).set(report);
}
