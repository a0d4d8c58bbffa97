/** WGSL of what a whole batch keeps: its cutoff, and the lists cut down to it. */
import type { Program } from './program.ts';
import { radix, scan, score } from './selectCode.ts';

/**
 * The cutoff of a batch: the \`keep\`-th largest listed score, and how many ties each row may keep. allowance[rows] is 1 where
 * the lists hold less than \`keep\`. One workgroup.
 */
export const batchCutoff: Program = {
  key: 'msae-batch-cutoff',
  storage: [
    ['values', 'read', 'f32'],
    ['smallest', 'write', 'f32'],
    ['allowance', 'write', 'u32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['capacity', 'u32'],
    ['keep', 'u32'],
    ['magnitude', 'u32'],
  ],
  code: `${score}${scan}${radix}
var<workgroup> least: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32) {
  if (li == 0u) { found = 0u; wanted = u.keep; }
  let total = u.rows * u.capacity;
  var listed = 0u;
  var low = 0xffffffffu;
  for (var e = li; e < total; e += 256u) {
    let key = scoreKey(values[e]);
    if (key > 0u) { listed++; low = min(low, key); }
  }
  least[li] = low;
  _ = exclusive(li, vec2<u32>(listed, 0u));
  let count = workgroupUniformLoad(&sums[255]).x;
  if (count > u.keep) {
    for (var shift = 32u; shift > 0u;) {
      shift -= 8u;
      atomicStore(&histogram[li], 0u);
      let prefix = workgroupUniformLoad(&found);
      for (var e = li; e < total; e += 256u) {
        let key = scoreKey(values[e]);
        if (key > 0u && (shift == 24u || (key >> (shift + 8u)) == prefix)) {
          atomicAdd(&histogram[(key >> shift) & 255u], 1u);
        }
      }
      workgroupBarrier();
      if (li == 0u) { descend(); }
      workgroupBarrier();
    }
  } else if (li == 0u) {
    for (var i = 1u; i < 256u; i++) { low = min(low, least[i]); }
    found = select(low, 0u, count == 0u);
    wanted = 0xffffffffu; // all of them belong to the largest
  }
  let cut = workgroupUniformLoad(&found);
  let ties = workgroupUniformLoad(&wanted);
  if (li == 0u) {
    smallest[0] = bitcast<f32>(cut);
    allowance[u.rows] = select(0u, 1u, count < u.keep);
  }
  let per = (u.rows + 255u) / 256u;
  let begin = li * per;
  let to = min(u.rows, begin + per);
  var own = 0u;
  for (var e = begin * u.capacity; e < to * u.capacity; e++) { if (cut > 0u && scoreKey(values[e]) == cut) { own++; } }
  var before = exclusive(li, vec2<u32>(own, 0u)).x;
  for (var row = begin; row < to; row++) {
    allowance[row] = select(0u, ties - before, before < ties);
    for (var i = 0u; i < u.capacity; i++) {
      if (cut > 0u && scoreKey(values[row * u.capacity + i]) == cut) { before++; }
    }
  }
}`,
};

/** Cuts a row's list down to what the batch keeps. A row whose list was too short for that gets the count capacity + 1. */
export const keepOfBatch: Program = {
  key: 'msae-keep-of-batch',
  storage: [
    ['indices', 'write', 'i32'],
    ['values', 'write', 'f32'],
    ['counts', 'write', 'i32'],
    ['dropped', 'read', 'u32'],
    ['smallest', 'read', 'f32'],
    ['allowance', 'read', 'u32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['capacity', 'u32'],
    ['n', 'u32'],
    ['magnitude', 'u32'],
    ['spare', 'u32'],
  ],
  code: `${score}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= u.rows) { return; }
  let cut = bitcast<u32>(smallest[0]);
  let o = row * u.capacity;
  var left = allowance[row];
  var count = 0u;
  for (var i = 0u; i < u32(counts[row]); i++) {
    let v = values[o + i];
    let key = scoreKey(v);
    var take = key > cut;
    if (key == cut && key > 0u && left > 0u) { take = true; left--; }
    if (!take) { continue; }
    let latent = indices[o + i];
    values[o + count] = v;
    indices[o + count] = latent;
    count++;
  }
  for (var i = count; i < u.capacity; i++) {
    values[o + i] = 0.0;
    indices[o + i] = i32(u.n);
  }
  let cutShort = dropped[row] > cut || (allowance[u.rows] == 1u && dropped[row] > 0u);
  counts[row] = select(i32(count), i32(u.capacity) + 1, cutShort);
  if (cutShort) { values[o] = bitcast<f32>(0x7fc00000u | u.spare); }
}`,
};
