/**
 * The active entries by latent: a stable counting sort, so that a latent's entries come in the order of the rows and every
 * sum over them is the same in every run. Rows are cut into 64 blocks, each counted and placed by one thread.
 */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { bufferOf, type GpuBackend, grid, newTensor, type Program, type Recorder } from './program.ts';

const BLOCKS = 64;

const uniforms: Program['uniforms'] = [
  ['rows', 'u32'],
  ['capacity', 'u32'],
  ['n', 'u32'],
  ['spare', 'u32'],
];

const walk = (visit: string): string => `
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wid: vec3<u32>) {
  let block = wid.x;
  let per = (u.rows + ${BLOCKS - 1}u) / ${BLOCKS}u;
  let to = min(u.rows, (block + 1u) * per) * u.capacity;
  for (var e = block * per * u.capacity; e < to; e++) {
    let latent = u32(indices[e]);
    if (latent >= u.n) { continue; }
    let at = block * u.n + latent;
    ${visit}
  }
}`;

const countEntries: Program = {
  key: 'msae-count-entries',
  storage: [
    ['indices', 'read', 'i32'],
    ['blocks', 'write', 'u32'],
  ],
  uniforms,
  code: walk('blocks[at] = blocks[at] + 1u;'),
};

/** blocks[b][k] becomes the number of entries of latent k in blocks before b; starts[k] their total. */
const sumBlocks: Program = {
  key: 'msae-sum-blocks',
  storage: [
    ['blocks', 'write', 'u32'],
    ['starts', 'write', 'u32'],
  ],
  uniforms,
  code: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let latent = groupIndex(wid, nwg) * 64u + li;
  if (latent >= u.n) { return; }
  var sum = 0u;
  for (var b = 0u; b < ${BLOCKS}u; b++) {
    let c = blocks[b * u.n + latent];
    blocks[b * u.n + latent] = sum;
    sum += c;
  }
  starts[latent] = sum;
}`,
};

/** Totals → exclusive prefix sums in place, starts[n] the number of entries. One workgroup. */
const sumLatents: Program = {
  key: 'msae-sum-latents',
  storage: [['starts', 'write', 'u32']],
  uniforms,
  code: `
var<workgroup> sums: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32) {
  let per = (u.n + 255u) / 256u;
  let begin = min(u.n, li * per);
  let to = min(u.n, begin + per);
  var own = 0u;
  for (var k = begin; k < to; k++) { own += starts[k]; }
  sums[li] = own;
  workgroupBarrier();
  for (var step = 1u; step < 256u; step <<= 1u) {
    var add = 0u;
    if (li >= step) { add = sums[li - step]; }
    workgroupBarrier();
    sums[li] += add;
    workgroupBarrier();
  }
  var at = sums[li] - own;
  for (var k = begin; k < to; k++) {
    let c = starts[k];
    starts[k] = at;
    at += c;
  }
  if (li == 255u) { starts[u.n] = sums[255]; }
}`,
};

const placeEntries: Program = {
  key: 'msae-place-entries',
  storage: [
    ['indices', 'read', 'i32'],
    ['blocks', 'write', 'u32'],
    ['starts', 'read', 'u32'],
    ['entries', 'write', 'u32'],
  ],
  uniforms,
  code: walk('entries[starts[latent] + blocks[at]] = e; blocks[at] = blocks[at] + 1u;'),
};

/** For every latent k: entries[starts[k] … starts[k+1]) are flat places row · C + slot in the lists. */
export interface LatentLists {
  readonly starts: GPUBuffer;
  readonly entries: GPUBuffer;
  dispose(): void;
}

let kept: { dataId: object; lists: LatentLists } | undefined;

/** The lists of `indices` [B, C]; made once for the two kernels of a step that use them. */
export function latentLists(
  backend: GpuBackend,
  commands: Recorder,
  indices: TensorInfo,
  nLatents: number,
): LatentLists {
  if (kept?.dataId === indices.dataId) return kept.lists;
  dropLatentLists();
  const [rows, capacity] = indices.shape as [number, number];
  const blocks = newTensor(backend, [BLOCKS, nLatents], 'int32');
  const starts = newTensor(backend, [nLatents + 1], 'int32');
  const entries = newTensor(backend, [Math.max(1, rows * capacity)], 'int32');
  const from = bufferOf(backend, indices);
  const sizes = [rows, capacity, nLatents, 0];
  commands.clear(blocks.buffer);
  commands.dispatch(countEntries, [from, blocks.buffer], sizes, [BLOCKS, 1, 1]);
  commands.dispatch(sumBlocks, [blocks.buffer, starts.buffer], sizes, grid(Math.ceil(nLatents / 64)));
  commands.dispatch(sumLatents, [starts.buffer], sizes, [1, 1, 1]);
  commands.dispatch(placeEntries, [from, blocks.buffer, starts.buffer, entries.buffer], sizes, [
    BLOCKS,
    1,
    1,
  ]);
  const lists: LatentLists = {
    starts: starts.buffer,
    entries: entries.buffer,
    dispose() {
      for (const { info } of [blocks, starts, entries]) backend.disposeData(info.dataId);
    },
  };
  kept = { dataId: indices.dataId, lists };
  return lists;
}

/** Frees the lists kept for the next kernel, if there are any. */
export function dropLatentLists(): void {
  kept?.lists.dispose();
  kept = undefined;
}
