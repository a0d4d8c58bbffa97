import type {
  EncodeActiveAttrs,
  EncodeActiveInputs,
  EncodeActiveOutputs,
  Implementation,
  Infos,
} from '@msae/core/backend';
import { f32, type Runtime, runtimeOf } from '../runtime.ts';
import { withOutputs } from './outputs.ts';

const GROUP_BYTES = 8 * 2 ** 20;
const TILE = 64;
/** Below this many multiplications the rounding to integers costs more than it saves. */
const WORTH_QUANTISING = 2 ** 22;
/** What of a float's bits is compared. */
const MASKS = { value: -1, magnitude: 0x7fffffff } as const;

/** All rules; magnitudes of a whole batch are not compared here. */
export function coversEncode({ rule, score }: EncodeActiveAttrs): boolean {
  return score === 'value' || rule !== 'perBatch';
}

/**
 * MsaeEncodeActive: x W_enc in tiles that are screened in cache (assembly/encode.ts), in 16-bit integers with a refinement
 * in float32 where lists are short and values are compared (assembly/quantised.ts).
 */
export const encodeActive: Implementation<EncodeActiveInputs, EncodeActiveAttrs, EncodeActiveOutputs> = (
  inputs,
  attrs,
  backend,
) => {
  const runtime = runtimeOf(backend);
  return withOutputs(runtime, (out) => {
    const [rows, d] = inputs.x.shape as [number, number];
    const n = inputs.b_enc.shape[0]!;
    const { rule, score, capacity } = attrs;
    const indices = out.make([rows, capacity], 'int32');
    const values = out.make([rows, capacity], 'float32');
    const counts = out.make([rows], 'int32');
    const pre = rule === 'aboveThreshold' ? out.make([rows, capacity], 'float32') : undefined;
    const smallestKept = rule === 'perBatch' ? out.make([1], 'float32') : undefined;
    const job: Job = {
      runtime,
      attrs,
      rows,
      d,
      n,
      ...lists(runtime, attrs, rows, n),
      at: pointers(runtime, inputs),
      indices: runtime.pointer(indices),
      values: runtime.pointer(values),
      counts: runtime.pointer(counts),
      pre: pre === undefined ? 0 : runtime.pointer(pre),
    };
    // lists that are cut keep few candidates for the refinement; the others may bring all they collect
    const short =
      score === 'value' && job.collect * (job.k > 0 ? 3 : 8) <= n && rows * d * n >= WORTH_QUANTISING;
    if (!(short && collectQuantised(job))) collectFloat(job);
    finish(job);
    if (smallestKept !== undefined) {
      runtime.run('batchCut', 1, [
        ...[job.indices, job.values, job.counts, rows, capacity, n, attrs.keep, job.flags],
        ...[runtime.scratch('histogram', 8192), runtime.pointer(smallestKept)],
      ]);
    }
    return { indices, values, counts, ...(pre && { pre }), ...(smallestKept && { smallestKept }) };
  });
};

/** Where each input lies; 0 for one that is absent. */
function pointers(runtime: Runtime, inputs: Infos<EncodeActiveInputs>): Job['at'] {
  return (name) => {
    const info = inputs[name];
    return info === undefined ? 0 : runtime.pointer(info);
  };
}

interface Lists {
  /** candidates a row can hold; topk and batchtopk collect more than they keep, so that lists are cut rarely */
  readonly collect: number;
  /** to which lists are cut, or 0 */
  readonly k: number;
  /** rows of a task */
  readonly block: number;
  readonly tiles: number;
  readonly threadBytes: number;
  /** candidate indices, then their values */
  readonly candidates: number;
  readonly candidateValues: number;
  /** by row: candidates, the value they have to be above, flags (1 cut, 2 NaN, 4 intervals overlap) */
  readonly found: number;
  readonly cuts: number;
  readonly flags: number;
}

interface Job extends Lists {
  readonly runtime: Runtime;
  readonly attrs: EncodeActiveAttrs;
  readonly rows: number;
  readonly d: number;
  readonly n: number;
  at(name: keyof EncodeActiveInputs): number;
  readonly indices: number;
  readonly values: number;
  readonly counts: number;
  readonly pre: number;
}

function lists(
  runtime: Runtime,
  { rule, keep, capacity }: EncodeActiveAttrs,
  rows: number,
  n: number,
): Lists {
  const limit = rule === 'perRow' ? Math.min(keep, capacity) : rule === 'perBatch' ? capacity : 0;
  const collect = Math.min(n, limit === 0 ? capacity + Math.ceil(capacity / 4) : 2 * limit + 64);
  const k = limit === 0 || limit >= n ? 0 : limit;
  const block = Math.max(4, Math.min(128, Math.ceil(rows / 8 / 4) * 4));
  const threadBytes = ((block + 4) * TILE + Math.max(collect, TILE)) * 4;
  const tiles = runtime.scratch('tiles', threadBytes * runtime.threads);
  const candidates = runtime.scratch('candidates', rows * collect * 8);
  const found = runtime.scratch('row state', rows * 12);
  const candidateValues = candidates + rows * collect * 4;
  return {
    collect,
    k,
    block,
    threadBytes,
    tiles,
    candidates,
    candidateValues,
    found,
    cuts: found + rows * 4,
    flags: found + rows * 8,
  };
}

function reset({ runtime, rows, found, cuts, flags, attrs }: Job): void {
  runtime.ints(found, rows).fill(0);
  runtime.ints(flags, rows).fill(0);
  runtime.floats(cuts, rows).fill(attrs.cutoff);
}

/** Arguments 4 … 18 of encodeGroup and encodeQuantised. */
function groupArgs(job: Job, j0: number, width: number): number[] {
  const {
    at,
    block,
    tiles,
    threadBytes,
    candidates,
    candidateValues,
    found,
    cuts,
    flags,
    collect,
    k,
    attrs,
  } = job;
  const lists = [candidates, candidateValues, found, cuts, flags, collect, k];
  return [j0, width, at('b_enc'), block, tiles, threadBytes, ...lists, at('threshold'), f32(attrs.margin)];
}

function collectFloat(job: Job): void {
  const { runtime, at, rows, d, n, block } = job;
  reset(job);
  const x = runtime.scratch('packed x', Math.ceil(rows / 4) * 4 * d * 4);
  const group = groupWidth(n, d * 4);
  const W = runtime.scratch('packed', group * d * 4);
  runtime.run('packX', Math.ceil(rows / 64), [at('x'), rows, d, at('b_dec'), x]);
  for (let j0 = 0; j0 < n; j0 += group) {
    const width = Math.min(group, n - j0);
    runtime.run('packB', Math.ceil(width / TILE), [at('W_enc'), n, 1, n, 0, d, j0, width, W]);
    runtime.run('encodeGroup', Math.ceil(rows / block), [
      ...[x, rows, d, W],
      ...groupArgs(job, j0, width),
      MASKS[job.attrs.score],
    ]);
  }
}

/** Returns false if intervals overlapped so much that a row's list ran full: then float32 has to decide. */
function collectQuantised(job: Job): boolean {
  const { runtime, at, rows, d, n, block, k, collect } = job;
  reset(job);
  const pairs = Math.ceil(d / 2);
  const x = runtime.scratch('packed x', Math.ceil(rows / 4) * 4 * pairs * 4);
  const group = groupWidth(n, pairs * 4);
  const W = runtime.scratch('packed', group * pairs * 4);
  const scales = runtime.scratch('scales', (2 * rows + n + 1) * 4);
  const [bounds, columnScales, notFinite] = [
    scales + rows * 4,
    scales + 2 * rows * 4,
    scales + (2 * rows + n) * 4,
  ];
  const centred = at('b_dec') === 0 ? at('x') : runtime.scratch('centred', rows * d * 4);
  runtime.ints(notFinite, 1)[0] = 0;
  const xArgs = [at('x'), rows, d, at('b_dec'), x, scales, bounds, centred, job.flags];
  runtime.run('quantiseX', Math.ceil(rows / 64), xArgs);
  const tail = [scales, bounds, columnScales];
  for (let j0 = 0; j0 < n; j0 += group) {
    const width = Math.min(group, n - j0);
    runtime.run('packQuantised', Math.ceil(width / TILE), [
      at('W_enc'),
      n,
      d,
      j0,
      width,
      W,
      columnScales,
      notFinite,
    ]);
    const args = [x, rows, pairs, W, ...groupArgs(job, j0, width), ...tail];
    runtime.run('encodeQuantised', Math.ceil(rows / block), args);
  }
  const flags = runtime.ints(job.flags, rows);
  const found = runtime.ints(job.found, rows);
  let full = false;
  for (let row = 0; row < rows; row++) full ||= (flags[row]! & 4) !== 0 || found[row]! > collect;
  if (full || runtime.ints(notFinite, 1)[0] !== 0) return false;
  if (k > 0)
    runtime.run('pruneLists', Math.ceil(rows / 64), [x, rows, pairs, W, ...groupArgs(job, 0, 0), ...tail]);
  const offsets = runtime.scratch('offsets', (n + 2) * 4);
  const entries = runtime.scratch('entries', rows * collect * 4);
  const threadBytes = TILE * d * 4 + 32;
  const columns = runtime.scratch('latents', threadBytes * runtime.threads);
  runtime.run('transposeLists', 1, [job.candidates, job.found, rows, collect, n, offsets, entries]);
  runtime.run('refine', Math.ceil(n / TILE), [
    ...[
      centred,
      d,
      n,
      collect,
      offsets,
      entries,
      job.candidateValues,
      at('W_enc'),
      at('b_enc'),
      columns,
      threadBytes,
    ],
  ]);
  return true;
}

function groupWidth(n: number, columnBytes: number): number {
  return Math.min(
    Math.ceil(n / TILE) * TILE,
    Math.max(TILE, Math.floor(GROUP_BYTES / (columnBytes * TILE)) * TILE),
  );
}

function finish(job: Job): void {
  const { runtime, at, rows, n, attrs, k } = job;
  runtime.run('finishLists', Math.ceil(rows / 64), [
    ...[job.candidates, job.candidateValues, job.found, job.collect, rows, k, n, attrs.capacity],
    ...[job.indices, job.values, job.counts, job.flags, job.tiles, job.threadBytes, at('threshold')],
    ...[job.pre, f32(attrs.margin), f32(attrs.cutoff), MASKS[attrs.score]],
  ]);
}
